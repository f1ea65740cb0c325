use anyhow::Result;
#[derive(clap::Args)]
pub struct Arguments {}
pub fn measure(_: &Arguments) -> Result<()> { Ok(()) }
