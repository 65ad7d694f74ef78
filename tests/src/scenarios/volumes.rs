//! Volumes, their snapshots and images of instances: what a guest wrote is what another guest reads.

use super::guest::Guest;
use crate::aws::{Aws, list_at, text_at};
use crate::harness::Cloud;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_secs(2);
const MODIFICATION_TIMEOUT: Duration = Duration::from_secs(60);
/// EBS's block.
const BLOCK_BYTES: usize = 512 << 10;

/// At every boot says what each data disk begins with; at the first one writes to it, and then says how large it is each second.
const WRITE_AND_WATCH: &str = r#"#!/bin/sh
scripts=/var/lib/cloud/scripts/per-boot
mkdir -p $scripts
cat >$scripts/10-read <<'END'
#!/bin/sh
for disk in vdb vdc; do
    [ -b /dev/$disk ] && echo "volume: $disk holds $(dd if=/dev/$disk bs=1M count=1 2>/dev/null | sha256sum | cut -d ' ' -f 1)"
done
END
chmod +x $scripts/10-read
yes "first letter" | head -c 1048576 >/tmp/letter
dd if=/tmp/letter of=/dev/vdb bs=64k conv=fsync 2>/dev/null && echo "volume: written $(sha256sum </tmp/letter | cut -d ' ' -f 1)"
sync
( while :; do echo "volume: vdb has $(cat /sys/block/vdb/size) sectors" >/dev/console; sleep 2; done ) &
"#;

/// The word after the last `before`.
fn word_after<'a>(console: &'a str, before: &str) -> Option<&'a str> {
    console.rsplit_once(before)?.1.split_whitespace().next()
}

fn wait_modified(aws: &Aws, volume: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let answer = aws.json(&["ec2", "describe-volumes-modifications", "--volume-ids", volume])?;
        match text_at(&answer, "/VolumesModifications/0/ModificationState")? {
            "optimizing" | "completed" => return Ok(()),
            "modifying" if began.elapsed() < MODIFICATION_TIMEOUT => sleep(POLL_INTERVAL),
            other => bail!("the modification is {other}: {answer}"),
        }
    }
}

/// The id of the instance's volume at this device.
fn volume_at(aws: &Aws, instance: &str, device: &str) -> Result<Value> {
    let of = format!("Name=attachment.instance-id,Values={instance}");
    let at = format!("Name=attachment.device,Values={device}");
    let answer = aws.json(&["ec2", "describe-volumes", "--filters", &of, &at])?;
    answer.pointer("/Volumes/0").cloned().with_context(|| format!("{instance} has no volume at {device}: {answer}"))
}

/// One guest writes to an encrypted volume; a snapshot of it and an image of the whole instance are taken; the volume grows while it
/// is attached; a second guest, launched from the image with a volume from the snapshot, reads the same twice.
pub fn snapshots_and_images(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let mapping = r#"[{"DeviceName":"/dev/sdf","Ebs":{"VolumeSize":1,"VolumeType":"gp3","Encrypted":true,"DeleteOnTermination":true}}]"#;
    let guest = Guest::launch(cloud, WRITE_AND_WATCH, &["--block-device-mappings", mapping])?;
    let console = guest.wait_console("written volume", |console| console.contains("volume: written "))?;
    let written = word_after(&console, "volume: written ").context("no digest")?.to_owned();
    let volume = volume_at(aws, &guest.id, "/dev/sdf")?;
    ensure!(volume.pointer("/Encrypted") == Some(&true.into()), "the volume is encrypted: {volume}");
    let volume = text_at(&volume, "/VolumeId")?;

    let tags = "ResourceType=snapshot,Tags=[{Key=Name,Value=letter}]";
    let taken = aws.json(&["ec2", "create-snapshot", "--volume-id", volume, "--tag-specifications", tags])?;
    let snapshot = text_at(&taken, "/SnapshotId")?;
    ensure!(text_at(&taken, "/State")? == "pending", "a snapshot begins pending: {taken}");

    aws.json(&["ec2", "modify-volume", "--volume-id", volume, "--size", "8", "--iops", "3500"])?;
    wait_modified(aws, volume)?;
    guest.wait_console("grown disk", |console| console.contains("volume: vdb has 16777216 sectors"))?;
    aws.refused("InvalidParameterValue", &["ec2", "modify-volume", "--volume-id", volume, "--size", "1"])?;
    aws.text(&["ec2", "wait", "snapshot-completed", "--snapshot-ids", snapshot])?;

    // The guest powers off for it, and boots again: it has then read its own disk.
    let made = aws.json(&["ec2", "create-image", "--instance-id", &guest.id, "--name", "scenario-letter"])?;
    let image = text_at(&made, "/ImageId")?;
    guest.wait_console("boot after the image", |console| console.contains(&format!("volume: vdb holds {written}")))?;
    ensure!(guest.state()? == "running", "an instance runs while an image of it is made");
    aws.text(&["ec2", "wait", "image-available", "--image-ids", image])?;
    aws.refused(
        "InvalidAMIName.Duplicate",
        &["ec2", "create-image", "--instance-id", &guest.id, "--name", "scenario-letter"],
    )?;
    guest.terminate()?;

    let mapping =
        format!(r#"[{{"DeviceName":"/dev/sdg","Ebs":{{"SnapshotId":"{snapshot}","DeleteOnTermination":true}}}}]"#);
    let more = ["--block-device-mappings", &mapping];
    let second = Guest::launch_image(cloud, image, "#!/bin/sh\n", &more)?;
    for disk in ["vdb", "vdc"] {
        let wanted = format!("volume: {disk} holds ");
        // A whole SHA-256: the line may be on its way still.
        let is_whole = |console: &str| word_after(console, &wanted).is_some_and(|digest| digest.len() == 64);
        let console = second.wait_console(disk, is_whole)?;
        ensure!(word_after(&console, &wanted) == Some(&written), "{disk} does not hold what was written:\n{console}");
    }
    let clone = volume_at(aws, &second.id, "/dev/sdg")?;
    ensure!(clone.pointer("/Encrypted") == Some(&true.into()), "a clone of what is encrypted is encrypted: {clone}");
    second.terminate()?;

    let described = aws.json(&["ec2", "describe-images", "--image-ids", image])?;
    for mapping in list_at(&described, "/Images/0/BlockDeviceMappings")? {
        let held = text_at(mapping, "/Ebs/SnapshotId")?;
        aws.refused("InvalidSnapshot.InUse", &["ec2", "delete-snapshot", "--snapshot-id", held])?;
    }
    aws.json(&["ec2", "deregister-image", "--image-id", image])?;
    for mapping in list_at(&described, "/Images/0/BlockDeviceMappings")? {
        aws.json(&["ec2", "delete-snapshot", "--snapshot-id", text_at(mapping, "/Ebs/SnapshotId")?])?;
    }
    aws.json(&["ec2", "delete-snapshot", "--snapshot-id", snapshot])?;
    aws.refused("InvalidSnapshot.NotFound", &["ec2", "describe-snapshots", "--snapshot-ids", snapshot])
}

/// A block goes in by the EBS direct APIs and comes out again.
pub fn direct_blocks(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let scratch = tempfile::tempdir()?;
    let (sent, got) = (scratch.path().join("sent"), scratch.path().join("got"));
    let block: Vec<u8> = (0..BLOCK_BYTES).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    std::fs::write(&sent, &block)?;
    let digest = Sha256::digest(&block);
    let (checksum, linear) = (STANDARD.encode(digest), STANDARD.encode(Sha256::digest(digest)));

    let started = aws.json(&["ebs", "start-snapshot", "--volume-size", "1", "--client-token", "scenario-blocks"])?;
    let id = text_at(&started, "/SnapshotId")?;
    let again = aws.json(&["ebs", "start-snapshot", "--volume-size", "1", "--client-token", "scenario-blocks"])?;
    ensure!(text_at(&again, "/SnapshotId")? == id, "the token made a second snapshot");
    let data = sent.display().to_string();
    let put = |checksum: &str| {
        [
            "ebs",
            "put-snapshot-block",
            "--snapshot-id",
            id,
            "--block-index",
            "5",
            "--block-data",
            &data,
            "--data-length",
            "524288",
            "--checksum",
            checksum,
            "--checksum-algorithm",
            "SHA256",
        ]
        .map(str::to_owned)
    };
    let wrong = put(&linear);
    aws.refused("ValidationException", &wrong.each_ref().map(String::as_str))?;
    let right = put(&checksum);
    aws.json(&right.each_ref().map(String::as_str))?;
    let complete = |count| {
        [
            "ebs",
            "complete-snapshot",
            "--snapshot-id",
            id,
            "--changed-blocks-count",
            count,
            "--checksum",
            &linear,
            "--checksum-algorithm",
            "SHA256",
            "--checksum-aggregation-method",
            "LINEAR",
        ]
    };
    aws.refused("ValidationException", &complete("2"))?;
    aws.json(&complete("1"))?;
    aws.text(&["ec2", "wait", "snapshot-completed", "--snapshot-ids", id])?;

    let listed = aws.json(&["ebs", "list-snapshot-blocks", "--snapshot-id", id])?;
    ensure!(list_at(&listed, "/Blocks")?.len() == 1, "one block holds data: {listed}");
    let token = text_at(&listed, "/Blocks/0/BlockToken")?;
    let out = got.display().to_string();
    let get = |index, token| {
        ["ebs", "get-snapshot-block", "--snapshot-id", id, "--block-index", index, "--block-token", token, &out]
    };
    aws.refused("ValidationException", &get("6", token))?;
    let read = aws.json(&get("5", token))?;
    ensure!(text_at(&read, "/Checksum")? == checksum, "the block has the checksum it was put with: {read}");
    ensure!(std::fs::read(&got)? == block, "the block is not what was put");
    aws.refused(
        "ResourceNotFoundException",
        &["ebs", "list-snapshot-blocks", "--snapshot-id", "snap-0123456789abcdef0"],
    )?;

    let copied = aws.json(&[
        "ec2",
        "copy-snapshot",
        "--source-region",
        aws.variable("AWS_DEFAULT_REGION")?,
        "--source-snapshot-id",
        id,
        "--encrypted",
    ])?;
    let copy = text_at(&copied, "/SnapshotId")?;
    aws.text(&["ec2", "wait", "snapshot-completed", "--snapshot-ids", copy])?;
    for snapshot in [copy, id] {
        aws.json(&["ec2", "delete-snapshot", "--snapshot-id", snapshot])?;
    }
    Ok(())
}

/// What is wrong with a request for volumes is told by AWS's codes, and nothing is made.
pub fn bad_requests(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let zone = format!("{}a", aws.variable("AWS_DEFAULT_REGION")?);
    let create = ["ec2", "create-volume", "--availability-zone", &zone];
    let absent = "snap-0123456789abcdef0";
    let created = aws.json(&[&create[..], &["--size", "1"]].concat())?;
    let volume = text_at(&created, "/VolumeId")?;
    aws.text(&["ec2", "wait", "volume-available", "--volume-ids", volume])?;
    let table: &[(&str, Vec<&str>)] = &[
        ("InvalidParameterValue", [&create[..], &["--size", "0"]].concat()),
        ("InvalidParameterValue", [&create[..], &["--size", "16385"]].concat()),
        ("InvalidParameterValue", [&create[..], &["--size", "1", "--volume-type", "gp3", "--iops", "16001"]].concat()),
        ("InvalidSnapshot.NotFound", [&create[..], &["--snapshot-id", absent]].concat()),
        ("InvalidSnapshotID.Malformed", [&create[..], &["--snapshot-id", "snap-xyz"]].concat()),
        ("InvalidParameterDependency", [&create[..], &["--size", "1", "--kms-key-id", "alias/aws/ebs"]].concat()),
        ("InvalidVolume.NotFound", vec!["ec2", "create-snapshot", "--volume-id", "vol-0123456789abcdef0"]),
        ("InvalidVolumeID.Malformed", vec!["ec2", "create-snapshot", "--volume-id", "vol-xyz"]),
        ("InvalidSnapshot.NotFound", vec!["ec2", "delete-snapshot", "--snapshot-id", absent]),
        ("InvalidVolumeModification.NotFound", vec!["ec2", "describe-volumes-modifications", "--volume-ids", volume]),
        ("InvalidParameterCombination", vec!["ec2", "modify-volume", "--volume-id", volume]),
        (
            "MissingParameter",
            vec!["ec2", "modify-volume", "--volume-id", volume, "--volume-type", "io1", "--size", "4"],
        ),
    ];
    for (code, words) in table {
        aws.refused(code, words)?;
    }
    let status = aws.json(&["ec2", "describe-volume-status", "--volume-ids", volume])?;
    ensure!(text_at(&status, "/VolumeStatuses/0/VolumeStatus/Status")? == "ok", "a new volume is well: {status}");
    aws.json(&["ec2", "delete-volume", "--volume-id", volume]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_counts() {
        assert_eq!(word_after("vdb holds 1\nvdb holds 2 x\n", "holds "), Some("2"));
        assert_eq!(word_after("vdb holds", "holds "), None);
    }
}
