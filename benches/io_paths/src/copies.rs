//! Copying a file out: to another file, and to a socket.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::{Result, ensure};
use rustix::fs::{copy_file_range, sendfile};

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::system::{self, Meter, PAGE};
use crate::work::digest;

/// One way to copy `bytes` from the file to another file.
type ToFile<'a> = Box<dyn FnMut(&mut File, u64) -> Result<()> + 'a>;

fn loop_of(file: &File, length: usize) -> ToFile<'_> {
    Box::new(move |target, bytes| copy_in_loop(file, target, bytes, length))
}

fn copy_in_loop(file: &File, target: &mut impl Write, bytes: u64, length: usize) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; length];
    for offset in (0..bytes).step_by(length) {
        file.read_exact_at(&mut piece, offset)?;
        target.write_all(&piece)?;
    }
    Ok(())
}

fn send_all(file: &File, target: &impl AsFd, bytes: u64) -> Result<()> {
    let mut offset = 0;
    while offset < bytes {
        let left = (bytes - offset) as usize;
        ensure!(sendfile(target, file, Some(&mut offset), left)? > 0, "the file has ended early");
    }
    Ok(())
}

pub fn run(runner: &mut Runner, folder: &Path, file: &File, bytes: u64) -> Result<()> {
    system::bring_in(file)?;
    to_file(runner, folder, file, bytes)?;
    to_socket(runner, file, bytes)
}

fn to_file(runner: &mut Runner, folder: &Path, file: &File, bytes: u64) -> Result<()> {
    let ways: Vec<(&str, ToFile<'_>)> = vec![
        ("`read` and `write`, 64 KiB", loop_of(file, 64 << 10)),
        ("`read` and `write`, 1 MiB", loop_of(file, 1 << 20)),
        (
            "`write` from a mapping",
            Box::new(|target, bytes| Ok(target.write_all(&system::map(file)?[..bytes as usize])?)),
        ),
        ("`sendfile`", Box::new(|target, bytes| send_all(file, target, bytes))),
        (
            "`copy_file_range`",
            Box::new(|target, bytes| {
                let mut offset = 0;
                while offset < bytes {
                    let left = (bytes - offset) as usize;
                    ensure!(
                        copy_file_range(file, Some(&mut offset), &*target, None, left)? > 0,
                        "ended early"
                    );
                }
                Ok(())
            }),
        ),
    ];
    let path = &folder.join("copy");
    let arms = ways.into_iter().map(|(name, mut copy)| {
        Arm::new(name, move |_| {
            let mut target = File::options().read(true).write(true).create_new(true).open(path)?;
            let meter = Meter::start()?;
            copy(&mut target, bytes)?;
            let taken = meter.stop(bytes as usize / PAGE)?;
            let digest = digest(&system::map(&target)?);
            drop(target);
            std::fs::remove_file(path)?;
            Ok(Taken::of(digest).with("time", Unit::Nanoseconds, taken.nanoseconds))
        })
    });
    let title = "Copying a cached file to a new one, without a sync: for each 4 KiB";
    runner.section("copy-to-file", title, arms.collect())
}

/// One way to send `bytes` of the file into a socket.
type ToSocket<'a> = Box<dyn FnMut(&mut UnixStream, u64) -> Result<()> + 'a>;

fn to_socket(runner: &mut Runner, file: &File, bytes: u64) -> Result<()> {
    let ways: Vec<(&str, ToSocket<'_>)> = vec![
        ("`read` and `write`, 64 KiB", Box::new(|socket, bytes| copy_in_loop(file, socket, bytes, 64 << 10))),
        (
            "`write` from a mapping",
            Box::new(|socket, bytes| Ok(socket.write_all(&system::map(file)?[..bytes as usize])?)),
        ),
        ("`sendfile`", Box::new(|socket, bytes| send_all(file, socket, bytes))),
    ];
    let arms = ways.into_iter().map(|(name, mut send)| {
        Arm::new(name, move |_| {
            let (mut one, other) = UnixStream::pair()?;
            let receiver = thread::spawn(move || receive(other));
            let meter = Meter::start()?;
            send(&mut one, bytes)?;
            drop(one);
            let digest = receiver.join().expect("the thread panicked")?;
            let taken = meter.stop(bytes as usize / PAGE)?;
            Ok(Taken::of(digest).with("time", Unit::Nanoseconds, taken.nanoseconds))
        })
    });
    let title =
        "Sending a cached file through a Unix socket to a thread that looks at every byte: for each 4 KiB";
    runner.section("copy-to-socket", title, arms.collect())
}

/// Reads all that comes; answers its digest.
fn receive(mut socket: UnixStream) -> Result<u64> {
    let (mut piece, mut filled, mut sum) = (vec![0; 64 << 10], 0, 0u64);
    loop {
        let count = socket.read(&mut piece[filled..])?;
        filled += count;
        // Words must be whole, wherever the pieces end.
        let whole = filled & !7;
        sum = sum.wrapping_add(digest(&piece[..whole]));
        piece.copy_within(whole..filled, 0);
        filled -= whole;
        if count == 0 {
            return Ok(sum);
        }
    }
}
