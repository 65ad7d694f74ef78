//! Contents: plain volumes, clones, zeroing, what survives a restart.

use crate::daemon::Daemon;
use crate::frontend::*;
use proptest::prelude::*;

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;

fn image_byte(offset: u64) -> u8 {
    (offset / 512 * 7 + offset % 13 + 1) as u8
}

fn image(len: u64) -> Vec<u8> {
    (0..len).map(image_byte).collect()
}

#[test]
fn what_is_written_is_read_and_survives_a_restart() {
    let mut daemon = Daemon::start();
    daemon.create("plain", MIB, None);
    let socket = daemon.attach("plain", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX | INDIRECT_DESC);
    assert!(daemon.describe("plain").connected);
    assert_eq!(disk.read(0, 8192), [0; 8192]);
    assert_eq!(disk.write(512, &[7; 1024]), 0);
    assert_eq!(disk.write(MIB - 512, &[9; 512]), 0);
    assert_eq!(disk.run(FLUSH, 0, 0, 0), 0);
    assert_eq!(disk.read(0, 2048), [vec![0; 512], vec![7; 1024], vec![0; 512]].concat());
    assert_eq!(disk.run(GET_ID, 0, DATA, 20), 0);
    assert_eq!(disk.peek(DATA, 20), *b"s-plain\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(disk.run(READ, MIB / 512, DATA, 512), 1, "beyond the end");
    assert_eq!(disk.run(WRITE, u64::MAX, DATA, 512), 1, "far beyond the end");
    assert_eq!(disk.run(READ, 0, DATA, 100), 1, "not whole sectors");
    assert_eq!(disk.run(77, 0, DATA, 512), 2, "unknown type");
    assert!(daemon.terminate());
    daemon.restart();
    disk.reconnect();
    assert_eq!(disk.read(0, 2048), [vec![0; 512], vec![7; 1024], vec![0; 512]].concat());
    assert_eq!(disk.read(MIB - 512, 512), [9; 512]);
}

#[test]
fn unaligned_and_scattered_buffers_work() {
    let daemon = Daemon::start();
    daemon.create("odd", MIB, None);
    let socket = daemon.attach("odd", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    let bytes: Vec<u8> = (0..1024u32).map(|i| i as u8 ^ 0x5a).collect();
    // Header in three pieces, data from an odd address in two, status behind data in the same descriptor.
    disk.poke(DATA + 3, &bytes);
    let header = disk.header(0, WRITE, 8);
    disk.descriptor(0, 0, header, 1, NEXT, 1);
    disk.descriptor(0, 1, header + 1, 9, NEXT, 2);
    disk.descriptor(0, 2, header + 10, 6, NEXT, 3);
    disk.descriptor(0, 3, GUEST_BASE + DATA + 3, 100, NEXT, 4);
    disk.descriptor(0, 4, GUEST_BASE + DATA + 103, 924, NEXT, 5);
    disk.descriptor(0, 5, header + 16, 1, DEVICE_WRITES, 0);
    disk.offer(0, 0, true);
    assert_eq!(disk.wait_answers(0, 1), [(0, 1)]);
    assert_eq!(disk.status(0), 0);
    let header = disk.header(0, READ, 8);
    disk.poke(DATA, &[0; 4096]);
    disk.descriptor(0, 0, header, 16, NEXT, 1);
    disk.descriptor(0, 1, GUEST_BASE + DATA + 1, 1025, DEVICE_WRITES, 0);
    disk.offer(0, 0, true);
    assert_eq!(disk.wait_answers(0, 1), [(0, 1025)]);
    assert_eq!(disk.peek(DATA + 1, 1025), [bytes, vec![0]].concat());
}

#[test]
fn a_clone_reads_its_image_and_keeps_its_own_writes() {
    let mut daemon = Daemon::start();
    let size = 16 * BLOCK;
    daemon.import("base", &image(size));
    daemon.create("clone", size + 4 * BLOCK, Some("base"));
    daemon.create("other", size, Some("base"));
    assert_eq!(daemon.describe("clone").allocated_bytes, 0, "a clone copies nothing");
    let socket = daemon.attach("clone", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    let mut expected = image(size);
    expected.resize((size + 4 * BLOCK) as usize, 0);
    assert_eq!(disk.read(0, expected.len()), expected);
    for (offset, len, fill) in [(512, 512, 1), (3 * BLOCK + 1024, 8192, 2), (size - 512, 1024, 3), (5 * BLOCK, 4096, 4)]
    {
        let range = offset as usize..offset as usize + len;
        expected[range].fill(fill);
        assert_eq!(disk.write(offset, &vec![fill; len]), 0);
        assert_eq!(disk.read(0, expected.len()), expected, "after writing {len} bytes at {offset}");
    }
    for (kind, offset, len, flags) in [
        (DISCARD, 8 * BLOCK, 2 * BLOCK, 0),
        (WRITE_ZEROES, 11 * BLOCK + 512, 1024, 0),
        (WRITE_ZEROES, size - BLOCK, 3 * BLOCK, 1),
    ] {
        expected[offset as usize..(offset + len) as usize].fill(0);
        assert_eq!(disk.zero(kind, offset, len, flags), 0);
        assert_eq!(disk.read(0, expected.len()), expected, "after zeroing {len} bytes at {offset}");
    }
    daemon.kill_and_restart();
    disk.reconnect();
    assert_eq!(disk.read(0, expected.len()), expected, "after a crash");
    let socket = daemon.attach("other", 1);
    assert_eq!(Frontend::connect(&socket, 1, F_FLUSH).read(0, size as usize), image(size), "the image is untouched");
}

#[test]
fn concurrent_partial_writes_to_one_inherited_block_do_not_lose_each_other() {
    let daemon = Daemon::start();
    daemon.import("base", &image(64 * BLOCK));
    daemon.create("clone", 64 * BLOCK, Some("base"));
    let socket = daemon.attach("clone", 2);
    let mut disk = Frontend::connect(&socket, 2, F_FLUSH);
    for block in 0..64u64 {
        // Eight sectors by eight requests in two queues, and a whole neighbour's sector with one of them.
        for sector in 0..8u16 {
            let data = DATA + u64::from(sector) * 512;
            disk.poke(data, &[block as u8 ^ sector as u8 ^ 0x80; 512]);
            disk.submit(usize::from(sector % 2), sector, WRITE, block * 8 + u64::from(sector), data, 512);
        }
        disk.wait_answers(0, 4);
        disk.wait_answers(1, 4);
        assert!((0..8).all(|slot| disk.status(slot) == 0));
        let expected: Vec<u8> = (0..4096).map(|i| block as u8 ^ (i / 512) as u8 ^ 0x80).collect();
        assert_eq!(disk.read(block * BLOCK, 4096), expected, "block {block}");
    }
}

#[test]
fn zeroed_ranges_of_a_plain_volume_read_zeros() {
    let daemon = Daemon::start();
    daemon.create("plain", MIB, None);
    let socket = daemon.attach("plain", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    assert_eq!(disk.write(0, &vec![5; MIB as usize]), 0);
    assert_eq!(disk.run(FLUSH, 0, 0, 0), 0);
    assert_eq!(disk.zero(DISCARD, BLOCK, MIB - 2 * BLOCK, 0), 0);
    let mut expected = vec![5; MIB as usize];
    expected[BLOCK as usize..(MIB - BLOCK) as usize].fill(0);
    assert_eq!(disk.read(0, MIB as usize), expected);
    assert_eq!(disk.zero(DISCARD, 0, BLOCK, 1), 2, "unmap means nothing on a discard");
    assert_eq!(disk.zero(WRITE_ZEROES, 0, BLOCK, 2), 2, "unknown flag");
    assert_eq!(disk.zero(DISCARD, MIB, BLOCK, 0), 1, "beyond the end");
}

#[test]
fn write_through_is_honoured_and_offered_write_back() {
    use vhost::vhost_user::VhostUserFrontend;
    use vhost::vhost_user::message::VhostUserConfigFlags;
    let daemon = Daemon::start();
    daemon.create("plain", MIB, None);
    let socket = daemon.attach("plain", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH | CONFIG_WCE);
    let connection = disk.connection.as_mut().unwrap();
    let (_, space) = connection.get_config(32, 1, VhostUserConfigFlags::WRITABLE, &[0]).unwrap();
    assert_eq!(space, [1]);
    connection.set_config(32, VhostUserConfigFlags::WRITABLE, &[0]).unwrap();
    assert_eq!(connection.get_config(32, 1, VhostUserConfigFlags::WRITABLE, &[0]).unwrap().1, [0]);
    assert_eq!(disk.write(0, &[1; 4096]), 0);
    assert_eq!(disk.zero(WRITE_ZEROES, 0, BLOCK, 1), 0);
    assert_eq!(disk.read(0, 4096), [0; 4096]);
}

#[derive(Clone, Debug)]
enum Action {
    Write(u64, u64, u8),
    Zero(bool, u64, u64),
    Crash,
}

fn action(sectors: u64) -> impl Strategy<Value = Action> {
    let range = (0..sectors, 1..24u64).prop_map(move |(start, len)| (start, len.min(sectors - start)));
    prop_oneof![
        8 => (range.clone(), any::<u8>()).prop_map(|((start, len), fill)| Action::Write(start, len, fill)),
        4 => (any::<bool>(), range).prop_map(|(discard, (start, len))| Action::Zero(discard, start, len)),
        1 => Just(Action::Crash),
    ]
}

#[test]
fn any_sequence_of_changes_leaves_a_clone_as_a_model_says() {
    const SECTORS: u64 = 96;
    let mut daemon = Daemon::start();
    let mut base = image(64 * 512);
    base[8192..16384].fill(0);
    daemon.import("base", &base);
    base.resize((SECTORS * 512) as usize, 0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    let mut number = 0;
    let daemon = std::cell::RefCell::new(&mut daemon);
    let number = std::cell::RefCell::new(&mut number);
    runner
        .run(&prop::collection::vec(action(SECTORS), 1..40), |actions| {
            let mut daemon = daemon.borrow_mut();
            **number.borrow_mut() += 1;
            let name = format!("clone-{}", number.borrow());
            daemon.create(&name, SECTORS * 512, Some("base"));
            let socket = daemon.attach(&name, 1);
            let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
            let mut model = base.clone();
            for action in actions {
                match action {
                    Action::Write(start, len, fill) => {
                        model[(start * 512) as usize..((start + len) * 512) as usize].fill(fill);
                        prop_assert_eq!(disk.write(start * 512, &vec![fill; (len * 512) as usize]), 0);
                    }
                    Action::Zero(discard, start, len) => {
                        model[(start * 512) as usize..((start + len) * 512) as usize].fill(0);
                        let kind = if discard { DISCARD } else { WRITE_ZEROES };
                        prop_assert_eq!(disk.zero(kind, start * 512, len * 512, 0), 0);
                    }
                    Action::Crash => {
                        daemon.kill_and_restart();
                        disk.reconnect();
                    }
                }
            }
            prop_assert_eq!(disk.read(0, model.len()), model);
            drop(disk);
            daemon.connect();
            daemon.detach(&name);
            Ok(())
        })
        .unwrap();
}
