//! Frames of every kind that the parser knows, sound and damaged, from a seed.

/// xorshift64*: the same frames for the same seed, everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 32) as usize % end.max(1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A frame; about half of them are damaged.
pub fn frame(random: &mut Random) -> Vec<u8> {
    let mut frame = random.bytes(12);
    frame[0] &= 0xfe;
    for _ in 0..random.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
        frame.extend_from_slice(&random.pick(&[0x8100u16, 0x88a8]).to_be_bytes());
        frame.extend(random.bytes(2));
    }
    let (eth_type, payload): (u16, Vec<u8>) = match random.below(16) {
        0..=5 => (0x0800, ipv4(random)),
        6..=11 => (0x86dd, ipv6(random)),
        12 => (random.pick(&[0x0806, 0x8035]), arp(random)),
        13 => (random.pick(&[0x8847, 0x8848]), mpls(random)),
        14 => return with_llc(random, frame),
        _ => {
            let length = random.below(60);
            (random.next() as u16, random.bytes(length))
        }
    };
    frame.extend_from_slice(&eth_type.to_be_bytes());
    frame.extend(payload);
    if random.one_in(3) {
        let padding = random.below(40);
        frame.extend(vec![0; padding]);
    }
    damage(random, &mut frame);
    frame
}

fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    match random.below(8) {
        0 => frame.truncate(random.below(frame.len() + 1)),
        1 => {
            for _ in 0..=random.below(3) {
                let at = random.below(frame.len());
                if let Some(byte) = frame.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        }
        2 => {
            let at = 12 + random.below(50);
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        _ => {}
    }
}

fn with_llc(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    frame.extend_from_slice(&(random.below(1536) as u16).to_be_bytes());
    if !random.one_in(3) {
        frame.extend_from_slice(&[0xaa, 0xaa, 3, 0, 0, 0]);
        let eth_type = random.pick(&[0x0800u16, 0x86dd, 0x0123, 0x0806]);
        frame.extend_from_slice(&eth_type.to_be_bytes());
        if eth_type == 0x0800 {
            frame.extend(ipv4(random));
        }
    }
    let rest = random.below(40);
    frame.extend(random.bytes(rest));
    damage(random, &mut frame);
    frame
}

fn ipv4(random: &mut Random) -> Vec<u8> {
    let options = if random.one_in(4) { random.below(11) } else { 0 };
    let protocol = random.pick(&[6, 6, 17, 17, 132, 1, 2, 58, 47, 0]);
    let body = transport(random, protocol);
    let mut packet = vec![0x45 + options as u8, random.next() as u8];
    packet.extend_from_slice(&((20 + 4 * options + body.len()) as u16).to_be_bytes());
    packet.extend(random.bytes(2));
    packet.extend_from_slice(&random.pick(&[0u16, 0, 0x4000, 0x4000, 0x2000, 0x0001, 0x2010, 0x8000]).to_be_bytes());
    packet.extend_from_slice(&[random.next() as u8, protocol, 0, 0]);
    packet.extend(random.bytes(8 + 4 * options));
    packet.extend(body);
    packet
}

fn ipv6(random: &mut Random) -> Vec<u8> {
    let protocol = random.pick(&[6, 6, 17, 17, 132, 58, 58, 58, 58, 1, 59, 47]);
    let mut body = transport(random, protocol);
    let mut next = protocol;
    for _ in 0..random.pick(&[0, 0, 0, 1, 2, 5]) {
        let kind = random.pick(&[0u8, 43, 60, 44, 51]);
        let mut header = vec![next, 0];
        match kind {
            44 => {
                header.extend_from_slice(&random.pick(&[0u16, 0, 1, 8, 9, 0xfff8, 2]).to_be_bytes());
                header.extend(random.bytes(4));
            }
            51 => {
                let words = random.below(5);
                header[1] = words as u8;
                header.extend(random.bytes((words + 2) * 4 - 2));
            }
            _ => {
                let units = random.below(3);
                header[1] = units as u8;
                header.extend(random.bytes((units + 1) * 8 - 2));
            }
        }
        header.extend(body);
        body = header;
        next = kind;
    }
    let mut packet = (0x6000_0000 | random.next() as u32 & 0x0fff_ffff).to_be_bytes().to_vec();
    packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next, random.next() as u8]);
    packet.extend(random.bytes(32));
    packet.extend(body);
    packet
}

fn transport(random: &mut Random, protocol: u8) -> Vec<u8> {
    let payload = random.below(30);
    let mut body = match protocol {
        6 => {
            let mut tcp = random.bytes(20);
            tcp[12] = 0x50 | tcp[12] & 0xf;
            tcp
        }
        17 => random.bytes(8),
        132 => random.bytes(12),
        58 if !random.one_in(3) => return neighbour(random),
        1 | 2 | 58 => random.bytes(8),
        _ => Vec::new(),
    };
    body.extend(random.bytes(payload));
    body
}

fn neighbour(random: &mut Random) -> Vec<u8> {
    let mut body = vec![random.pick(&[135, 136]), if random.one_in(8) { 1 } else { 0 }];
    body.extend(random.bytes(2 + 4 + 16));
    for _ in 0..random.below(4) {
        let units = random.pick(&[1, 1, 1, 1, 2, 0, 9]);
        body.extend_from_slice(&[random.pick(&[1, 2, 2, 1, 5]), units]);
        let mut option = random.bytes(usize::from(units.clamp(1, 2)) * 8 - 2);
        if random.one_in(6) {
            option.fill(0);
        }
        body.extend(option);
    }
    body
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend_from_slice(&random.pick(&[1u16, 2, 3, 4, 0, 255, 256, 999]).to_be_bytes());
    packet.extend(random.bytes(20));
    packet
}

fn mpls(random: &mut Random) -> Vec<u8> {
    let mut stack = Vec::new();
    for left in (0..random.below(6)).rev() {
        let mut entry = random.bytes(4);
        entry[2] = entry[2] & 0xfe | u8::from(left == 0 && !random.one_in(5));
        stack.extend(entry);
    }
    let payload = random.below(20);
    stack.extend(random.bytes(payload));
    stack
}
