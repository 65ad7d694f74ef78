//! The program that hands a device's frames to sockets, by bpf(2) and without a compiler: it is six instructions.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

// enum bpf_cmd
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// enum bpf_attach_type
const BPF_XDP: u32 = 37;
const BPF_FUNC_REDIRECT_MAP: i32 = 51;
const BPF_PSEUDO_MAP_FD: u8 = 1;
const XDP_PASS: i32 = 2;
/// `struct xdp_md.rx_queue_index`
const RX_QUEUE_INDEX: i16 = 16;
/// Where the kernel keeps it: names are seen by bpftool.
const NAME: [u8; 16] = *b"hive_xdp\0\0\0\0\0\0\0\0";
/// The kernel asks it of helpers that are for GPL programs only, of which this one uses none.
const LICENSE: &std::ffi::CStr = c"Apache-2.0";

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// Destination in the lower half, source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, (to, from): (u8, u8), offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, immediate }
}

/// return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
///
/// What comes by a queue without a socket goes on to the host, since Linux 5.3.
fn program(sockets: i32) -> [Instruction; 6] {
    const LOAD_WORD: u8 = 0x61;
    const LOAD_IMMEDIATE: u8 = 0x18;
    const MOVE_IMMEDIATE: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    [
        instruction(LOAD_WORD, (2, 1), RX_QUEUE_INDEX, 0),
        instruction(LOAD_IMMEDIATE, (1, BPF_PSEUDO_MAP_FD), 0, sockets),
        instruction(0, (0, 0), 0, 0),
        instruction(MOVE_IMMEDIATE, (3, 0), 0, XDP_PASS),
        instruction(CALL, (0, 0), 0, BPF_FUNC_REDIRECT_MAP),
        instruction(EXIT, (0, 0), 0, 0),
    ]
}

/// What of `union bpf_attr` a command is told: plain data without padding, of which the kernel takes what is not there to be 0.
trait Attributes: Copy {}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapUpdate {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instructions: u32,
    at: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

impl Attributes for MapCreate {}
impl Attributes for MapUpdate {}
impl Attributes for ProgramLoad {}
impl Attributes for LinkCreate {}

/// # Safety
/// What the attributes point to is what the command expects there, and outlives the call.
unsafe fn bpf<T: Attributes>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads so many bytes of the attributes, and what they point to, for which the caller vouches.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>() as libc::c_long)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// A command that makes something.
///
/// # Safety
/// As of [`bpf`].
unsafe fn make<T: Attributes>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for what `bpf` asks; the descriptor is new, and close-on-exec as all of bpf(2).
    unsafe { bpf(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// A descriptor as attributes have it; one that is open is not negative.
fn number(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd() as u32
}

/// Sockets by the receive queues that they are for (BPF_MAP_TYPE_XSKMAP).
#[derive(Debug)]
pub(super) struct SocketMap(OwnedFd);

impl SocketMap {
    /// # Errors
    /// The process may not (EPERM: it lacks CAP_BPF or CAP_NET_ADMIN), or the kernel has no such maps.
    pub fn new(queues: u32) -> io::Result<Self> {
        let attributes = MapCreate { map_type: BPF_MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, max_entries: queues };
        // SAFETY: nothing is pointed to.
        unsafe { make(BPF_MAP_CREATE, &attributes).map(Self) }
    }

    /// # Errors
    /// The map has no place for this queue.
    pub fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let value = number(&socket);
        let (key, value) = (&raw const queue as u64, &raw const value as u64);
        let attributes = MapUpdate { map: number(&self.0), zero: 0, key, value, flags: 0 };
        // SAFETY: key and value are four bytes each, as the map was made for, and live until the end of this function.
        unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attributes) }.map(drop)
    }
}

/// The program, loaded. It keeps the map.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

impl Program {
    /// # Errors
    /// As [`SocketMap::new`].
    pub fn load(sockets: &SocketMap) -> io::Result<Self> {
        let instructions = program(sockets.0.as_raw_fd());
        let attributes = ProgramLoad {
            program_type: BPF_PROG_TYPE_XDP,
            instructions: instructions.len() as u32,
            at: instructions.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            log_level: 0,
            log_bytes: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: NAME,
            ifindex: 0,
            expected_attach_type: BPF_XDP,
        };
        // SAFETY: as many instructions as are named, and a string with its end; both outlive the call, and the kernel copies them.
        unsafe { make(BPF_PROG_LOAD, &attributes).map(Self) }
    }

    /// Attaches it to a device of the thread's network namespace, as long as the link lives; the kernel ends that with the process,
    /// however it ends. `flags`: XDP_FLAGS_*.
    ///
    /// # Errors
    /// EBUSY: another program is attached. EOPNOTSUPP: the driver has no XDP. EINVAL, ERANGE, ENOSPC: not with the device as it is set up.
    pub fn attach(&self, ifindex: u32, flags: u32) -> io::Result<Attached> {
        let attributes = LinkCreate { program: number(&self.0), ifindex, attach_type: BPF_XDP, flags };
        // SAFETY: nothing is pointed to.
        unsafe { make(BPF_LINK_CREATE, &attributes).map(Attached) }
    }
}

/// A program on a device; dropped, it is detached.
#[derive(Debug)]
pub(super) struct Attached(#[expect(dead_code, reason = "held for its end")] OwnedFd);
