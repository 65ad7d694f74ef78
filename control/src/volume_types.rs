//! The volume types of EBS: which sizes and performance each allows, and the limits that blockd enforces for them.

use crate::error::{Error, combination, invalid, missing};
use crate::store::Performance;
use hive_blockd_api::Limits;
use std::ops::RangeInclusive;

/// What an account gets that names no type.
pub const DEFAULT: &str = "gp2";
const GP3_IOPS: i32 = 3000;
const GP3_THROUGHPUT_MIB: i32 = 125;
const MIB: u64 = 1 << 20;

/// Bounds of one type. Ratios are EBS's: provisioned IOPS a GiB.
struct VolumeType {
    name: &'static str,
    sizes_gib: RangeInclusive<u32>,
    /// None: IOPS cannot be chosen.
    iops: Option<RangeInclusive<i32>>,
    max_iops_per_gib: i32,
}

const TYPES: [VolumeType; 7] = [
    VolumeType { name: "gp2", sizes_gib: 1..=16_384, iops: None, max_iops_per_gib: 0 },
    VolumeType { name: "gp3", sizes_gib: 1..=16_384, iops: Some(GP3_IOPS..=16_000), max_iops_per_gib: 500 },
    VolumeType { name: "io1", sizes_gib: 4..=16_384, iops: Some(100..=64_000), max_iops_per_gib: 50 },
    VolumeType { name: "io2", sizes_gib: 4..=16_384, iops: Some(100..=256_000), max_iops_per_gib: 1000 },
    VolumeType { name: "st1", sizes_gib: 125..=16_384, iops: None, max_iops_per_gib: 0 },
    VolumeType { name: "sc1", sizes_gib: 125..=16_384, iops: None, max_iops_per_gib: 0 },
    VolumeType { name: "standard", sizes_gib: 1..=1024, iops: None, max_iops_per_gib: 0 },
];

/// Checks type, size and performance and fills in what the type gives by itself; a volume from a snapshot is at least `min_gib`.
pub fn check(
    volume_type: Option<&str>,
    size_gib: u32,
    iops: Option<i32>,
    throughput: Option<i32>,
    min_gib: u32,
) -> Result<Performance, Error> {
    let name = volume_type.unwrap_or(DEFAULT);
    let Some(kind) = TYPES.iter().find(|kind| kind.name == name) else {
        return Err(invalid("VolumeType", name, "Expecting standard, io1, io2, gp2, gp3, sc1 or st1."));
    };
    if !kind.sizes_gib.contains(&size_gib) {
        let reason = format!("Volumes of type {name} have {} to {} GiB.", kind.sizes_gib.start(), kind.sizes_gib.end());
        return Err(invalid("Size", size_gib, reason));
    }
    if size_gib < min_gib {
        return Err(invalid("Size", size_gib, format!("The snapshot needs a volume of at least {min_gib} GiB.")));
    }
    let iops = check_iops(kind, size_gib, iops)?;
    let throughput = check_throughput(name, iops, throughput)?;
    Ok(Performance { size_gib, volume_type: name.into(), iops, throughput })
}

fn check_iops(kind: &VolumeType, size_gib: u32, iops: Option<i32>) -> Result<Option<i32>, Error> {
    let name = kind.name;
    let size = i32::try_from(size_gib).unwrap_or(i32::MAX);
    let (bounds, iops) = match (&kind.iops, iops) {
        (None, Some(_)) => {
            return Err(combination(format!("The parameter iops is not supported for {name} volumes.")));
        }
        (None, None) => {
            return Ok((name == "gp2").then(|| size.saturating_mul(3).clamp(100, 16_000)));
        }
        (Some(_), None) if name == "gp3" => return Ok(Some(GP3_IOPS)),
        (Some(_), None) => return Err(missing("Iops")),
        (Some(bounds), Some(iops)) => (bounds, iops),
    };
    if iops < *bounds.start() {
        return Err(invalid("Iops", iops, format!("Volume iops of {iops} is too low; minimum is {}.", bounds.start())));
    }
    if iops > *bounds.end() {
        return Err(invalid("Iops", iops, format!("Volume iops of {iops} is too high; maximum is {}.", bounds.end())));
    }
    // gp3's baseline is every size's.
    let most = size.saturating_mul(kind.max_iops_per_gib).max(if name == "gp3" { GP3_IOPS } else { 0 });
    if iops > most {
        let reason = format!("Iops to volume size ratio is too high; maximum is {}.", kind.max_iops_per_gib);
        return Err(invalid("Iops", iops, reason));
    }
    Ok(Some(iops))
}

/// MiB/s; gp3 alone lets it be chosen.
fn check_throughput(name: &str, iops: Option<i32>, throughput: Option<i32>) -> Result<Option<i32>, Error> {
    if name != "gp3" {
        return match throughput {
            Some(_) => Err(combination(format!("The parameter Throughput is not supported for {name} volumes."))),
            None => Ok(None),
        };
    }
    let throughput = throughput.unwrap_or(GP3_THROUGHPUT_MIB);
    if !(GP3_THROUGHPUT_MIB..=1000).contains(&throughput) {
        return Err(invalid("Throughput", throughput, "Expecting 125 to 1000 MiB/s."));
    }
    if throughput > iops.unwrap_or(GP3_IOPS) / 4 {
        let reason = "Throughput (MiBps) to iops ratio is too high; maximum is 0.250000 MiBps per iops.";
        return Err(invalid("Throughput", throughput, reason));
    }
    Ok(Some(throughput))
}

/// What blockd lets such a volume do. Burst buckets are not kept: where EBS has one, its rate is what the volume gets always.
pub fn limits_of(performance: &Performance) -> Limits {
    let size = u64::from(performance.size_gib);
    let chosen = u32::try_from(performance.iops.unwrap_or(0)).unwrap_or(0);
    let (iops, throughput) = match performance.volume_type.as_str() {
        // A small gp2 bursts to 3000 from a bucket of 5.4 million I/Os; below 170 GiB EBS gives it 128 MiB/s.
        "gp2" => (chosen.max(3000), if size <= 170 { 128 * MIB } else { 250 * MIB }),
        "gp3" => (chosen, u64::try_from(performance.throughput.unwrap_or(GP3_THROUGHPUT_MIB)).unwrap_or(0) * MIB),
        // 256 KiB an I/O up to 500 MiB/s; above 32,000 IOPS another 16 KiB each.
        "io1" if chosen > 32_000 => (chosen, u64::from(chosen) * (16 << 10)),
        "io1" => (chosen, (u64::from(chosen) * (256 << 10)).min(500 * MIB)),
        "io2" => (chosen, (u64::from(chosen) * (256 << 10)).min(4000 * MIB)),
        // EBS counts I/Os of up to 1 MiB on these two, blockd of up to 256 KiB: four for one of 500 and 250.
        "st1" => (2000, (250 * MIB * size / 1024).min(500 * MIB)),
        "sc1" => (1000, (80 * MIB * size / 1024).min(250 * MIB)),
        // Magnetic: 40 to 200 IOPS, 40 to 90 MiB/s.
        _ => (200, 90 * MIB),
    };
    Limits { iops: Some(iops), throughput_bytes_per_s: Some(throughput) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(volume_type: Option<&str>, size: u32, iops: Option<i32>) -> Result<Performance, Error> {
        check(volume_type, size, iops, None, 1)
    }

    #[test]
    fn types_follow_ebs() {
        assert_eq!(kind(None, 8, None).expect("gp2").iops, Some(100));
        assert_eq!(kind(None, 16_384, None).expect("gp2").iops, Some(16_000));
        let gp3 = kind(Some("gp3"), 1, None).expect("gp3");
        assert_eq!((gp3.iops, gp3.throughput), (Some(3000), Some(125)));
        assert_eq!(kind(Some("io1"), 4, Some(200)).expect("io1").iops, Some(200));
        for bad in [
            (Some("gp2"), 0, None),
            (Some("gp2"), 16_385, None),
            (Some("gp2"), 8, Some(100)),
            (Some("io1"), 8, None),
            (Some("io1"), 4, Some(201)),
            (Some("io1"), 3, Some(100)),
            (Some("io2"), 4, Some(4001)),
            (Some("gp3"), 7, Some(3501)),
            (Some("gp3"), 100, Some(2999)),
            (Some("gp3"), 100, Some(16_001)),
            (Some("gp9"), 8, None),
            (Some("st1"), 8, None),
            (Some("standard"), 1025, None),
        ] {
            assert!(kind(bad.0, bad.1, bad.2).is_err(), "{bad:?}");
        }
        assert!(check(None, 8, None, None, 9).is_err());
        assert!(check(Some("gp3"), 8, None, Some(751), 1).is_err(), "a quarter of 3000 IOPS");
        assert!(check(Some("gp3"), 8, Some(4000), Some(1000), 1).is_ok());
        assert!(check(Some("gp3"), 8, Some(4000), Some(124), 1).is_err());
        assert!(check(Some("gp2"), 8, None, Some(125), 1).is_err());
    }

    #[test]
    fn limits_follow_ebs() {
        let limits = |t: &str, size, iops, throughput| {
            let performance = check(Some(t), size, iops, throughput, 1).expect(t);
            let limits = limits_of(&performance);
            (limits.iops.expect("iops"), limits.throughput_bytes_per_s.expect("throughput") / MIB)
        };
        assert_eq!(limits("gp2", 8, None, None), (3000, 128));
        assert_eq!(limits("gp2", 5000, None, None), (15_000, 250));
        assert_eq!(limits("gp3", 8, None, None), (3000, 125));
        assert_eq!(limits("gp3", 100, Some(8000), Some(500)), (8000, 500));
        assert_eq!(limits("io1", 100, Some(1000), None), (1000, 250));
        assert_eq!(limits("io1", 2000, Some(64_000), None), (64_000, 1000));
        assert_eq!(limits("io2", 100, Some(20_000), None), (20_000, 4000));
        assert_eq!(limits("st1", 1024, None, None), (2000, 250));
        assert_eq!(limits("sc1", 1024, None, None), (1000, 80));
        assert_eq!(limits("standard", 10, None, None), (200, 90));
    }

    proptest! {
        /// Whatever passes the check has limits that let it do something.
        #[test]
        fn no_volume_stands_still(
            t in proptest::sample::select(TYPES.map(|t| t.name).to_vec()), size in 0u32..20_000,
            iops in proptest::option::of(any::<i32>()), throughput in proptest::option::of(any::<i32>()),
        ) {
            if let Ok(performance) = check(Some(t), size, iops, throughput, 1) {
                let limits = limits_of(&performance);
                prop_assert!(limits.iops.is_some_and(|iops| iops >= 100));
                prop_assert!(limits.throughput_bytes_per_s.is_some_and(|bytes| bytes >= 9 * MIB));
            }
        }
    }
}
