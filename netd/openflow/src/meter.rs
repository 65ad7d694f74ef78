//! Meters: OFPT_METER_MOD, and what is asked of meters.

use crate::ErrorCode;
use crate::wire::{Put, Reader};

/// OFPM_*: highest number of a meter; then the switch's own, and all.
pub const METER_MAX: u32 = 0xffff_0000;
pub const METER_SLOW_PATH: u32 = 0xffff_fffd;
pub const METER_CONTROLLER: u32 = 0xffff_fffe;
pub const METER_ALL: u32 = 0xffff_ffff;
/// Bytes of a band: those known here are all of one length.
const BAND_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterCommand {
    Add,
    Modify,
    Delete,
}

/// OFPMF_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFlags(pub u16);

impl MeterFlags {
    pub const KBPS: Self = Self(1 << 0);
    pub const PACKETS_PER_SECOND: Self = Self(1 << 1);
    pub const BURST: Self = Self(1 << 2);
    pub const STATS: Self = Self(1 << 3);
    const ALL: Self = Self(0xf);

    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// Above this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterBand {
    pub kind: BandKind,
    /// In what the meter's flags say.
    pub rate: u32,
    pub burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    Drop,
    /// Raise the drop precedence in the DSCP.
    DscpRemark {
        precedence_level: u8,
    },
}

/// A meter's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    pub meter: u32,
    pub flags: MeterFlags,
    pub bands: Vec<MeterBand>,
}

/// OFPT_METER_MOD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    pub command: MeterCommand,
    pub config: MeterConfig,
}

fn decode_bands(reader: &mut Reader<'_>) -> Result<Vec<MeterBand>, ErrorCode> {
    let mut bands = Vec::new();
    while !reader.is_empty() {
        let mut band = reader.sub(BAND_BYTES)?;
        let (kind, length, rate, burst) = (band.u16()?, band.u16()?, band.u32()?, band.u32()?);
        if usize::from(length) != BAND_BYTES {
            return Err(ErrorCode::RequestBadLen);
        }
        let kind = match kind {
            1 => BandKind::Drop,
            2 => BandKind::DscpRemark { precedence_level: band.u8()? },
            _ => return Err(ErrorCode::MeterModBadBand),
        };
        bands.push(MeterBand { kind, rate, burst });
    }
    Ok(bands)
}

fn encode_bands(bands: &[MeterBand], out: &mut Vec<u8>) {
    for band in bands {
        let (kind, precedence_level) = match band.kind {
            BandKind::Drop => (1, 0),
            BandKind::DscpRemark { precedence_level } => (2, precedence_level),
        };
        out.u16(kind);
        out.u16(BAND_BYTES as u16);
        out.u32(band.rate);
        out.u32(band.burst);
        out.u8(precedence_level);
        out.zeros(3);
    }
}

impl MeterMod {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let (command, flags, meter) = (reader.u16()?, MeterFlags(reader.u16()?), reader.u32()?);
        let commands = [MeterCommand::Add, MeterCommand::Modify, MeterCommand::Delete];
        let command = *commands.get(usize::from(command)).ok_or(ErrorCode::MeterModBadCommand)?;
        let config = if command == MeterCommand::Delete {
            MeterConfig { meter, flags: MeterFlags::default(), bands: Vec::new() }
        } else {
            let both = MeterFlags(MeterFlags::KBPS.0 | MeterFlags::PACKETS_PER_SECOND.0);
            if flags.contains(both) {
                return Err(ErrorCode::MeterModBadFlags);
            }
            let bands = decode_bands(reader)?;
            if !((1..=METER_MAX).contains(&meter) || matches!(meter, METER_SLOW_PATH | METER_CONTROLLER)) {
                return Err(ErrorCode::MeterModInvalidMeter);
            }
            MeterConfig { meter, flags, bands }
        };
        Ok(Self { command, config })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.command as u16);
        out.u16(self.config.flags.0);
        out.u32(self.config.meter);
        encode_bands(&self.config.bands, out);
    }
}

impl MeterConfig {
    /// Whether the meter can be. A switch asks once it knows that the meter is there, or is not, as the command wants.
    ///
    /// # Errors
    /// `OFPMMFC_BAD_FLAGS`, `OFPMMFC_BAD_RATE`.
    pub fn check(&self) -> Result<(), ErrorCode> {
        let [rate, packets] = [MeterFlags::KBPS, MeterFlags::PACKETS_PER_SECOND].map(|unit| self.flags.contains(unit));
        if rate && packets {
            return Err(ErrorCode::MeterModBadFlags);
        }
        if self.bands.iter().any(|band| band.rate == 0) {
            return Err(ErrorCode::MeterModBadRate);
        }
        if !rate && !packets || self.flags.0 & !MeterFlags::ALL.0 != 0 {
            return Err(ErrorCode::MeterModBadFlags);
        }
        Ok(())
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let (length, flags, meter) = (usize::from(reader.u16()?), MeterFlags(reader.u16()?), reader.u32()?);
        let bands_bytes = length.checked_sub(8).ok_or(ErrorCode::RequestBadLen)?;
        Ok(Self { meter, flags, bands: decode_bands(&mut reader.sub(bands_bytes)?)? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u16(self.flags.0);
        out.u32(self.meter);
        encode_bands(&self.bands, out);
        out.set_length(start, 0);
    }
}

/// A meter's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterStats {
    pub meter: u32,
    pub flows: u32,
    pub packets: u64,
    pub bytes: u64,
    pub duration_s: u32,
    pub duration_ns: u32,
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

impl MeterStats {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let (meter, length) = (reader.u32()?, usize::from(reader.u16()?));
        reader.skip(6)?;
        let (flows, packets, bytes) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let (duration_s, duration_ns) = (reader.u32()?, reader.u32()?);
        let mut rest = reader.sub(length.checked_sub(40).ok_or(ErrorCode::RequestBadLen)?)?;
        let mut bands = Vec::new();
        while !rest.is_empty() {
            bands.push((rest.u64()?, rest.u64()?));
        }
        Ok(Self { meter, flows, packets, bytes, duration_s, duration_ns, bands })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u32(self.meter);
        out.zeros(8);
        out.u32(self.flows);
        out.u64(self.packets);
        out.u64(self.bytes);
        out.u32(self.duration_s);
        out.u32(self.duration_ns);
        for (packets, bytes) in &self.bands {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.set_length(start, 4);
    }
}

/// What meters can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    pub meters_max: u32,
    /// A bit for each kind of band: bit 1 drop, bit 2 remark.
    pub band_kinds: u32,
    /// A bit for each of [`MeterFlags`].
    pub capabilities: u32,
    pub bands_max: u8,
    pub colors_max: u8,
}

impl MeterFeatures {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        Ok(Self {
            meters_max: reader.u32()?,
            band_kinds: reader.u32()?,
            capabilities: reader.u32()?,
            bands_max: reader.u8()?,
            colors_max: reader.u8()?,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.meters_max);
        out.u32(self.band_kinds);
        out.u32(self.capabilities);
        out.u8(self.bands_max);
        out.u8(self.colors_max);
        out.zeros(2);
    }
}
