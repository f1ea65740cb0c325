//! placeholder
pub struct CheckReport;
pub struct Problem;
pub(crate) fn check(_core: &crate::txn::core::Core) -> crate::Result<CheckReport> {
    Ok(CheckReport)
}
