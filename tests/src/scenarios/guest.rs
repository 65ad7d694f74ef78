//! A launched instance, terminated when the scenario is over, whichever way it ends.

use crate::aws::{Aws, text_at};
use crate::harness::Cloud;
use anyhow::{Context, Result, bail};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A guest boots in 15 to 30 s inside the emulation, two at a time in twice that.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(240);
const STATE_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The last line of hive-minimal's boot.
pub const READY: &str = "hive-minimal: ready";

pub struct Guest<'a> {
    aws: &'a Aws,
    pub id: String,
    pub address: String,
}

impl<'a> Guest<'a> {
    /// Launches hive-minimal with a user-data script; `more` are further arguments of `run-instances`.
    pub fn launch(cloud: &'a Cloud, user_data: &str, more: &[&str]) -> Result<Self> {
        Self::launch_image(cloud, &cloud.image, user_data, more)
    }

    /// [`Guest::launch`] of another image.
    pub fn launch_image(cloud: &'a Cloud, image: &str, user_data: &str, more: &[&str]) -> Result<Self> {
        let arguments = [
            &["ec2", "run-instances", "--image-id", image, "--instance-type", "t2.nano", "--user-data", user_data],
            more,
        ]
        .concat();
        let answer = cloud.aws.json(&arguments)?;
        let text = |pointer: &str| text_at(&answer, pointer).map(str::to_owned);
        let guest = Self {
            aws: &cloud.aws,
            id: text("/Instances/0/InstanceId")?,
            address: text("/Instances/0/PrivateIpAddress")?,
        };
        println!("    {} at {}", guest.id, guest.address);
        Ok(guest)
    }

    pub fn wait_running(&self) -> Result<()> {
        self.aws.text(&["ec2", "wait", "instance-running", "--instance-ids", &self.id]).map(drop)
    }

    pub fn console(&self) -> Result<String> {
        self.aws.text(&[
            "ec2",
            "get-console-output",
            "--instance-id",
            &self.id,
            "--latest",
            "--output",
            "text",
            "--query",
            "Output",
        ])
    }

    /// Waits until the console satisfies `is_enough`, and returns it.
    pub fn wait_console(&self, what: &str, is_enough: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + CONSOLE_TIMEOUT;
        loop {
            let console = self.console()?;
            if is_enough(&console) {
                return Ok(console);
            }
            if Instant::now() > deadline {
                bail!("{}: no {what} on the console after {} s:\n{console}", self.id, CONSOLE_TIMEOUT.as_secs());
            }
            sleep(POLL_INTERVAL);
        }
    }

    pub fn state(&self) -> Result<String> {
        let answer = self.aws.json(&["ec2", "describe-instances", "--instance-ids", &self.id])?;
        Ok(text_at(&answer, "/Reservations/0/Instances/0/State/Name")?.to_owned())
    }

    pub fn wait_state(&self, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + STATE_TIMEOUT;
        loop {
            let state = self.state()?;
            if state == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} is still {state}, not {wanted}, after {} s", self.id, STATE_TIMEOUT.as_secs());
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// Terminates the guest and checks that it ends.
    pub fn terminate(self) -> Result<()> {
        self.aws
            .json(&["ec2", "terminate-instances", "--instance-ids", &self.id])
            .with_context(|| format!("cannot terminate {}", self.id))?;
        self.wait_state("terminated")
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        // The next scenario wants the memory; after `terminate` this changes nothing. A failure has been told already.
        let _ = self.aws.json(&["ec2", "terminate-instances", "--instance-ids", &self.id]);
    }
}
