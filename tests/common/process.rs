//! Child processes that are killed, stopped and waited for. The unsafe calls of the tests are here.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Longer than anything should take, on any machine: what is not there by then will never be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: kill has no preconditions; the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Makes the kernel kill the process when the thread that starts it ends.
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

/// Ends this process as if it were killed, but with success.
pub(crate) fn exit_at_once() -> ! {
    // SAFETY: nothing of this process runs after it.
    unsafe { libc::_exit(0) }
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

/// Runs `work` in a forked child, and returns the child's exit status. A child of a process with threads may only do
/// what is allowed between fork and exec; so call this where there is one thread.
pub(crate) fn in_forked_child(work: impl FnOnce() -> i32) -> ExitStatus {
    // SAFETY: the child runs `work` and leaves by _exit; the caller ensures that `work` may run there.
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

/// A process that is not waited for: killed when this is dropped.
pub(crate) struct Orphan(pub(crate) u32);

impl Drop for Orphan {
    fn drop(&mut self) {
        signal(self.0, libc::SIGKILL);
    }
}

/// Forks a child that does nothing, whatever becomes of its parent, until it is killed. Returns its process id once the
/// child runs. (It ends by itself when every test has given up.) It keeps none of its parent's pipes.
pub(crate) fn fork_idle_child() -> u32 {
    let (mut child_runs, tells) = std::io::pipe().unwrap();
    // SAFETY: the child only makes system calls.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork");
        if child == 0 {
            libc::alarm(PATIENCE.as_secs() as u32 * 2);
            for pipe in [0, 1, 2, tells.as_raw_fd()] {
                libc::close(pipe);
            }
            loop {
                libc::pause();
            }
        }
        drop(tells);
        std::io::Read::read_to_end(&mut child_runs, &mut Vec::new()).unwrap();
        child as u32
    }
}

/// Sends this process a signal again and again, as long as it lives; its handler makes system calls end early.
pub(crate) fn pester(interval: Duration) {
    extern "C" fn handler(_: libc::c_int) {}
    let interval = libc::timeval { tv_sec: 0, tv_usec: interval.as_micros() as libc::suseconds_t };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: zeros are a valid sigaction, without SA_RESTART; the handler does nothing; all live through the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), 0);
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()), 0);
    }
}

/// Makes the next child of this process the first process of a PID namespace.
pub(crate) fn enter_new_pid_namespace() {
    // SAFETY: it changes a property of this thread only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "unshare");
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

/// Makes the ext4 on which `folder` lies treat its device as gone: what is not on the disk by now never will be.
pub(crate) fn shut_file_system_down(folder: &std::path::Path) {
    use std::os::fd::AsRawFd;
    const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
    let without_flushing_the_journal = 2u32;
    let folder = std::fs::File::open(folder).unwrap();
    // SAFETY: the call reads one number, which lives through it.
    let result = unsafe {
        libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const without_flushing_the_journal)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
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
