//! What the figures were measured on. Kinds and sizes only: no names of machines, no paths.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sysinfo::{Disks, System};

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct Machine {
    pub processors: usize,
    pub processor: String,
    pub memory_gib: u64,
    pub kernel: String,
    pub file_system: String,
}

impl Machine {
    pub fn new(folder: &Path) -> Result<Machine> {
        let system = System::new_all()?;
        let kernel = System::kernel_version().unwrap_or_default();
        Ok(Machine {
            processors: system.cpus().len(),
            processor: system.cpus().first().map(|cpu| cpu.brand().to_owned()).unwrap_or_default(),
            memory_gib: system.total_memory() >> 30,
            // The release alone: what follows it names a build.
            kernel: format!("Linux {}", kernel.split('-').next().unwrap_or_default()),
            file_system: file_system(folder)?,
        })
    }
}

/// The kind of file system that `folder` is on.
fn file_system(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize()?;
    let disks = Disks::new_with_refreshed_list()?;
    let disk = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let disk = disk.max_by_key(|disk| disk.mount_point().as_os_str().len());
    Ok(disk.map_or("unknown".into(), |disk| disk.file_system().to_string_lossy().into_owned()))
}

/// Refuses a folder in memory: what is durable there is free.
pub fn check_is_on_disk(folder: &Path) -> Result<()> {
    const TMPFS: i64 = 0x0102_1994;
    if rustix::fs::statfs(folder)?.f_type as i64 == TMPFS {
        bail!("{} is in memory: durable commits would cost nothing; name another --folder", folder.display());
    }
    Ok(())
}

/// Has the file system of `folder` write back all that it has.
pub fn write_back(folder: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(folder)?)?)
}

/// Bytes that were ever written to the device that `folder` is on, by its own counter.
pub fn written_to_device(folder: &Path) -> Result<u64> {
    const SECTOR_BYTES: u64 = 512;
    let device = std::fs::metadata(folder)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let disks = procfs::diskstats()?;
    let disk = disks.iter().find(|disk| (disk.major, disk.minor) == (major as i32, minor as i32));
    let disk = disk.context("the folder is on no block device")?;
    Ok(disk.sectors_written * SECTOR_BYTES)
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { processors, processor, memory_gib, kernel, file_system } = self;
        write!(f, "{processors} processors ({processor}), {memory_gib} GiB, {kernel}, {file_system}")
    }
}
