//! Child processes that are killed, stopped and waited for. The unsafe calls of the tests are here.
#![allow(unsafe_code)]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Longer than anything should take, on any machine: what is not there by then will never be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: kill has no preconditions; the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Has the process killed when the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    // SAFETY: prctl is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        })
    }
}

/// Kills a child and waits for its end. It must not have ended before in another way.
#[track_caller]
pub(crate) fn kill(child: &mut Child) {
    signal(child.id(), libc::SIGKILL);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "the child had ended with {status}");
}

/// Stops a child, and returns when it has stopped, or ended.
pub(crate) fn stop(child: &Child) {
    signal(child.id(), libc::SIGSTOP);
    // SAFETY: `info` is plain data, and lives through the call. With WNOWAIT an end is left for `Child::wait`.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, child.id(), &raw mut info, libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT);
    }
}

/// What a forked child does, and answers as its exit status. It may only do what is allowed between fork and exec
/// in a process with threads; so call this where there is one thread.
pub(crate) fn in_forked_child(work: impl FnOnce() -> i32) -> ExitStatus {
    // SAFETY: the child runs `work` and leaves by _exit; the caller answers for `work`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork");
        if child == 0 {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(99);
            libc::_exit(code);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        ExitStatus::from_raw(status)
    }
}

/// Limits a resource of this process; the limit can be raised again.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    limit.rlim_cur = most.min(limit.rlim_max);
    // SAFETY: `limit` lives through the call.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

pub(crate) fn is_root() -> bool {
    // SAFETY: it cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Makes a named pipe.
pub(crate) fn make_pipe(path: &std::ffi::CStr) -> std::io::Result<()> {
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o666) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Polls until `is_so`; panics after [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
