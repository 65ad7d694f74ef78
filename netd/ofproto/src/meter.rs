//! Meters (OFPT_METER_MOD).

use hive_openflow::{BandKind, ErrorCode, METER_ALL, MeterCommand, MeterConfig, MeterMod, MeterStats};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As Open vSwitch's userspace data path announces.
pub const METERS_MAX: u32 = 262_144;
pub const BANDS_MAX: u8 = 8;

/// A meter; whoever polices counts.
#[derive(Clone, Debug)]
pub struct Meter {
    pub config: MeterConfig,
    pub created_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Meters {
    meters: BTreeMap<u32, Arc<Meter>>,
}

impl Meters {
    pub fn contains(&self, meter: u32) -> bool {
        self.meters.contains_key(&meter)
    }

    /// [`METER_ALL`]: all.
    pub fn select(&self, meter: u32) -> impl Iterator<Item = &Arc<Meter>> {
        self.meters.iter().filter(move |(number, _)| meter == METER_ALL || **number == meter).map(|(_, meter)| meter)
    }

    /// Changes meters at once; tells which ones are gone.
    pub fn apply(&mut self, MeterMod { command, config }: &MeterMod, now_ms: u64) -> Result<Vec<u32>, ErrorCode> {
        let number = config.meter;
        let old = self.meters.get(&number);
        let created_ms = match (command, old) {
            (MeterCommand::Delete, _) if number == METER_ALL => {
                return Ok(std::mem::take(&mut self.meters).into_keys().collect());
            }
            (MeterCommand::Delete, _) => {
                return Ok(self.meters.remove(&number).map(|_| number).into_iter().collect());
            }
            _ if config.bands.len() > usize::from(BANDS_MAX) => return Err(ErrorCode::MeterModOutOfBands),
            (MeterCommand::Add, Some(_)) => return Err(ErrorCode::MeterModMeterExists),
            (MeterCommand::Add, None) => {
                if self.meters.len() >= METERS_MAX as usize {
                    return Err(ErrorCode::MeterModOutOfMeters);
                }
                now_ms
            }
            (MeterCommand::Modify, None) => return Err(ErrorCode::MeterModUnknownMeter),
            (MeterCommand::Modify, Some(old)) => old.created_ms,
        };
        config.check()?;
        if config.bands.iter().any(|band| band.kind != BandKind::Drop) {
            return Err(ErrorCode::MeterModBadBand);
        }
        self.meters.insert(number, Arc::new(Meter { config: config.clone(), created_ms }));
        Ok(Vec::new())
    }
}

impl Meter {
    pub(crate) fn stats(&self, flows: u32, now_ms: u64) -> MeterStats {
        let (duration_s, duration_ns) = crate::flow::duration(self.created_ms, now_ms);
        let bands = vec![(0, 0); self.config.bands.len()];
        MeterStats { meter: self.config.meter, flows, packets: 0, bytes: 0, duration_s, duration_ns, bands }
    }
}
