//! Instances from launch to termination, seen from outside and from within.

use super::guest::{Guest, READY};
use crate::aws::{list_at, text_at};
use crate::harness::Cloud;
use anyhow::{Context, Result, ensure};

/// An RSA or Ed25519 public key of nobody: its private half was never kept.
const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGHkPrcbVrZQgbrjYrIJIhRsNHNk1/Bp5KWNZbmLHxWm scenario";

/// The metadata service, asked by the guest itself: version 2 with its token, and the identity document.
const ASK_METADATA: &str = r#"#!/bin/sh
echo "user-data: hello"
for item in ami-id instance-type mac placement/availability-zone; do
    printf 'imds: %s ' "$item"
    wget -q -O - "http://169.254.169.254/latest/meta-data/$item"
    echo
done
echo "imds: document $(wget -q -O - http://169.254.169.254/latest/dynamic/instance-identity/document | tr -d '\n ')"
"#;

pub fn launch(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let key = tempfile::NamedTempFile::new()?;
    std::fs::write(key.path(), PUBLIC_KEY)?;
    let material = format!("fileb://{}", key.path().display());
    aws.json(&["ec2", "import-key-pair", "--key-name", "scenario", "--public-key-material", &material])?;
    aws.refused(
        "InvalidKeyPair.Duplicate",
        &["ec2", "import-key-pair", "--key-name", "scenario", "--public-key-material", &material],
    )?;

    let guest = Guest::launch(cloud, ASK_METADATA, &["--key-name", "scenario"])?;
    guest.wait_running()?;
    let console = guest.wait_console("end of the boot", |console| console.contains(READY))?;
    let zone = format!("{}a", aws.variable("AWS_DEFAULT_REGION")?);
    for wanted in [
        format!("hive-minimal: instance-id {}", guest.id),
        format!("hive-minimal: local-ipv4 {}", guest.address),
        format!("hive-minimal: public-key {PUBLIC_KEY}"),
        "hive-minimal: boot-time ".into(),
        "user-data: hello".into(),
        format!("imds: ami-id {}", cloud.image),
        "imds: instance-type t2.nano".into(),
        format!("imds: placement/availability-zone {zone}"),
        format!("\"instanceId\":\"{}\"", guest.id),
    ] {
        ensure!(console.contains(&wanted), "{wanted:?} is not on the console:\n{console}");
    }

    let described = aws.json(&["ec2", "describe-instances", "--instance-ids", &guest.id])?;
    let instance = described.pointer("/Reservations/0/Instances/0").context("no instance in the answer")?;
    ensure!(text_at(instance, "/KeyName")? == "scenario", "unexpected key: {instance}");
    let status = aws.json(&["ec2", "describe-instance-status", "--instance-ids", &guest.id])?;
    ensure!(text_at(&status, "/InstanceStatuses/0/InstanceState/Name")? == "running", "unexpected status: {status}");

    // A reboot keeps instance, address and disk: user-data has run on this disk already.
    aws.json(&["ec2", "reboot-instances", "--instance-ids", &guest.id])?;
    guest.wait_console("second boot", |console| console.contains("user-data ran on an earlier boot"))?;
    ensure!(guest.state()? == "running", "a rebooted instance runs");

    let id = guest.id.clone();
    guest.terminate()?;
    let terminated = aws.json(&["ec2", "describe-instances", "--instance-ids", &id])?;
    ensure!(text_at(&terminated, "/Reservations/0/Instances/0/State/Name")? == "terminated", "{terminated}");
    let root = format!("Name=attachment.instance-id,Values={id}");
    let volumes = aws.json(&["ec2", "describe-volumes", "--filters", &root])?;
    ensure!(list_at(&volumes, "/Volumes")?.is_empty(), "the root volume outlives its instance: {volumes}");
    aws.json(&["ec2", "delete-key-pair", "--key-name", "scenario"])?;
    Ok(())
}

pub fn two_guests(cloud: &Cloud) -> Result<()> {
    let listener = Guest::launch(cloud, "#!/bin/sh\n", &[])?;
    // The identity service of hive-minimal answers a TCP connection to port 7 with the instance id.
    let script = format!(
        "#!/bin/sh\npeer={}\nuntil ping -c 1 -W 1 $peer >/dev/null; do sleep 1; done\nping -c 3 $peer && echo \"talk: ping answered\"\n\
         until answer=$(nc -w 5 $peer 7 </dev/null) && [ -n \"$answer\" ]; do sleep 1; done\necho \"talk: tcp answered $answer\"\n",
        listener.address
    );
    let speaker = Guest::launch(cloud, &script, &[])?;
    let answered = format!("talk: tcp answered {}", listener.id);
    let console = speaker.wait_console("answer of the other guest", |console| console.contains(&answered))?;
    ensure!(console.contains("talk: ping answered"), "no ping:\n{console}");
    speaker.terminate()?;
    listener.terminate()
}

/// Writes a file on the second volume at the first boot; reads it at every boot.
const SECOND_VOLUME: &str = r#"#!/bin/sh
scripts=/var/lib/cloud/scripts/per-boot
mkdir -p $scripts
cat >$scripts/10-read <<'END'
#!/bin/sh
mkdir -p /mnt
mount -t ext2 /dev/vdb /mnt && echo "volume: read $(cat /mnt/letter)"
umount /mnt
END
chmod +x $scripts/10-read
mke2fs /dev/vdb >/dev/null && mkdir -p /mnt && mount -t ext2 /dev/vdb /mnt
echo "dear-reader" >/mnt/letter
umount /mnt && echo "volume: written"
"#;

pub fn second_volume(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let mapping = r#"[{"DeviceName":"/dev/sdf","Ebs":{"VolumeSize":1,"DeleteOnTermination":true}}]"#;
    let guest = Guest::launch(cloud, SECOND_VOLUME, &["--block-device-mappings", mapping])?;
    guest.wait_console("written file", |console| console.contains("volume: written"))?;

    let described = aws.json(&["ec2", "describe-instances", "--instance-ids", &guest.id])?;
    let mappings = list_at(&described, "/Reservations/0/Instances/0/BlockDeviceMappings")?;
    ensure!(mappings.len() == 2, "two volumes are attached: {described}");

    aws.json(&["ec2", "stop-instances", "--instance-ids", &guest.id])?;
    guest.wait_state("stopped")?;

    // A third volume comes and goes while the instance is stopped.
    let zone = format!("{}a", aws.variable("AWS_DEFAULT_REGION")?);
    let created = aws.json(&["ec2", "create-volume", "--size", "1", "--availability-zone", &zone])?;
    let volume = text_at(&created, "/VolumeId")?;
    let attach = ["ec2", "attach-volume", "--volume-id", volume, "--instance-id", &guest.id, "--device", "/dev/sdg"];
    aws.text(&["ec2", "wait", "volume-available", "--volume-ids", volume])?;
    aws.json(&attach)?;
    aws.refused("VolumeInUse", &["ec2", "delete-volume", "--volume-id", volume])?;
    aws.json(&["ec2", "detach-volume", "--volume-id", volume])?;
    aws.text(&["ec2", "wait", "volume-available", "--volume-ids", volume])?;

    aws.json(&["ec2", "start-instances", "--instance-ids", &guest.id])?;
    guest.wait_running()?;
    guest.wait_console("file read again", |console| console.contains("volume: read dear-reader"))?;
    // Without PCI hotplug a running instance keeps the disks it has.
    aws.refused("IncorrectInstanceState", &attach)?;
    aws.json(&["ec2", "delete-volume", "--volume-id", volume])?;
    guest.terminate()
}
