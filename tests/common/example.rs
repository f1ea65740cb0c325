//! The examples as programs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

/// The program of an example, built from the source as it is now: `cargo test --test examples` alone builds none.
pub(crate) fn example(name: &str) -> PathBuf {
    // A test is `target/debug/deps/NAME-...`; the examples go to `target/debug/examples`.
    let test = std::env::current_exe().unwrap();
    let (profile_folder, target) = (test.ancestors().nth(2).unwrap(), test.ancestors().nth(3).unwrap());
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let profile = if profile_folder.ends_with("release") { "release" } else { "dev" };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples", "--profile", profile, "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    });
    profile_folder.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}
