//! The few system calls that no safe wrapper covers. Everything here is a thin, checked shell around one call.

use crate::error::{Error, Result};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A memory file of exactly `size_bytes` whose size is sealed: no holder can shrink it under a mapping (SIGBUS) or grow it.
pub fn sealed_memfd(name: &std::ffi::CStr, size_bytes: u64) -> Result<File> {
    let describe = || format!("create memory file of {size_bytes} bytes");
    // SAFETY: `name` is NUL-terminated and outlives the call, which keeps no pointer to it.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(Error::io(describe())(io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was just created and nothing else owns it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size_bytes).map_err(Error::io(describe()))?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes an integer and touches no memory of this process.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(Error::io("seal guest memory")(io::Error::last_os_error()));
    }
    Ok(file)
}

/// A descriptor that becomes readable when one of `signals` is pending. The signals must be blocked in every thread.
pub fn signal_fd(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let set = vmm_sys_util::signal::create_sigset(signals)?;
    // SAFETY: `set` is an initialised signal set that outlives the call; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Connect to a listening Unix socket without ever blocking: a full backlog is an error (`WouldBlock`), not a wait.
/// The stream returned is in blocking mode.
pub fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    // SAFETY: all-zero bytes are a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let bytes = path.as_os_str().as_bytes();
    // One byte stays for the terminating NUL.
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "socket path is empty or too long"));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: socket() takes integers only.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and nothing else owns it.
    let stream = unsafe { UnixStream::from_raw_fd(fd) };
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is a whole, initialised sockaddr_un of `length` bytes that outlives the call.
    let result = unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Is `fd` readable, now or within `timeout_ms`? Consumes nothing.
pub fn is_readable(fd: &impl AsRawFd, timeout_ms: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid pollfd that outlives the call.
    unsafe { libc::poll(&mut poll, 1, timeout_ms) > 0 && poll.revents != 0 }
}

/// Ask for huge pages behind a mapping; the host's shmem policy decides, so a refusal is no error.
pub fn advise_huge_pages(mapping: &vm_memory::MmapRegion) {
    // SAFETY: the range is exactly one live mapping, and this advice changes no contents.
    unsafe { libc::madvise(mapping.as_ptr().cast(), mapping.size(), libc::MADV_HUGEPAGE) };
}
