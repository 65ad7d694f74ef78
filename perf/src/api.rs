//! The control plane: how soon after its start it answers, and how fast it answers DescribeInstances with 100 instances recorded.
//!
//! A private cloud is made of the real nats-server, hived and awsd. The 100 instances are launched by RunInstances, so every
//! record is what hived itself writes: image, key, network interface, volume, tags. They stay `pending`, because between the
//! import of their image and the launch the hived that runs the node is replaced by a worker that only answers calls, as
//! `hive dev scale` adds them. DescribeInstances does not look at the state: each call reads all records from JetStream, decodes
//! them, and answers all fields of each instance, as it does for running ones.
//!
//! There is no rival: the limits of issue 2 stand in its place.

mod client;
mod cloud;

use crate::report::{self, Better, Line};
use crate::rival;
use anyhow::{Context, bail, ensure};
use client::{Access, Answer, Client};
use cloud::{ControlPlane, Hived, Programs, Root};
use futures::future::try_join_all;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const INSTANCES: usize = 100;
const CLIENTS: usize = 8;
/// What a cold start may take, and the 99th percentile of a call.
const COLD_START_LIMIT_MS: f64 = 2000.0;
const CALL_LIMIT_MS: f64 = 20.0;
/// A control plane that does not answer by then never will.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call or import that fails is tried again while the daemons start.
const RETRY: Duration = Duration::from_millis(2);
/// Calls before the first measurement, of each client: credential caches, connections and allocators are warm then, as they are
/// in a cloud that runs.
const WARM_UP_CALLS: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hive-perf api --rounds 3 --json api.jsonl")]
pub struct Options {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Calls of one measurement, all clients together
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    calls: u32,
    /// Append the results as JSON lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of hive, hived, awsd and blockd, if not that of this program
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// nats-server, if not the one beside our programs, in .hive/cache or on the PATH
    #[arg(long, value_name = "FILE", env = "HIVE_NATS_SERVER")]
    nats_server: Option<PathBuf>,
}

/// Run the bench.
///
/// # Errors
/// A program is missing, the cloud does not come up, or a call is not answered as it should be.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = Programs::find(options.programs.as_deref(), options.nats_server.as_deref())?;
    // The daemons inherit it.
    if !rival::use_real_time() {
        println!("not allowed real-time priority: other load of this machine disturbs the figures");
    }
    let runtime = Runtime::new().context("cannot start the clients' runtime")?;
    println!("load before: {}", report::load_average());
    let mut lines = vec![cold_start(&runtime, &programs, options.rounds)?];
    // What was measured is shown also when the rest fails.
    let described = describe_instances(&runtime, &programs, options, &mut lines);
    eprint!("\r{:<60}\r", "");
    report::print(&lines);
    println!("load after: {}", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    described
}

const UNIT: (&str, Better) = ("ms", Better::Lower);

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn cold_start(runtime: &Runtime, programs: &Programs, rounds: u32) -> anyhow::Result<Line> {
    let mut times = Vec::new();
    for round in 0..rounds {
        eprint!("\rcold start {}/{rounds}        ", round + 1);
        let root = Root::configure(programs)?;
        let (_plane, time) = start(runtime, &root, Hived::WithNode)?;
        times.push((milliseconds(time), COLD_START_LIMIT_MS));
    }
    Ok(Line::new("api", "cold start", UNIT, "limit of 2 s", Some(1.0), times))
}

/// Adds to `lines` the rounds that were measured, all or those before a failure.
fn describe_instances(
    runtime: &Runtime,
    programs: &Programs,
    options: &Options,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let cloud = Recorded::launch(runtime, programs)?;
    let mut measured = [(1, Vec::new()), (CLIENTS, Vec::new())];
    let done = runtime.block_on(cloud.measure(options, &mut measured)).with_context(|| cloud.root.logs());
    for (clients, rounds) in measured.iter().filter(|(_, rounds)| !rounds.is_empty()) {
        for (percent, target) in [(50, None), (99, Some(1.0))] {
            let case = format!("describe p{percent}, {clients} at a time");
            let figure = |round: &Vec<Duration>| (milliseconds(percentile(round, percent)), CALL_LIMIT_MS);
            let figures = rounds.iter().map(figure).collect();
            lines.push(Line::new("api", case, UNIT, "limit of 20 ms", target, figures));
        }
    }
    done
}

/// Starts all processes at once; how long it took until the first call was answered: signed, over TLS, through awsd, NATS and
/// hived to JetStream and back. A client asks from the first moment on, as one does that waits for its cloud.
fn start(runtime: &Runtime, root: &Root, hived: Hived) -> anyhow::Result<(ControlPlane, Duration)> {
    let began = Instant::now();
    let mut plane = root.start(hived)?;
    loop {
        let attempt = async {
            let call = async { Client::connect(root.access()).await?.call("DescribeInstances", "").await };
            tokio::time::timeout(START_TIMEOUT, call).await?
        };
        let Err(error) = runtime.block_on(attempt) else { return Ok((plane, began.elapsed())) };
        if let Some(name) = plane.ended()? {
            bail!("{name} has ended\n{}", root.logs());
        }
        if began.elapsed() > START_TIMEOUT {
            return Err(error.context(format!("the control plane does not answer\n{}", root.logs())));
        }
        std::thread::sleep(RETRY);
    }
}

/// A control plane with [`INSTANCES`] instances.
struct Recorded {
    root: Root,
    _plane: ControlPlane,
}

impl Recorded {
    fn launch(runtime: &Runtime, programs: &Programs) -> anyhow::Result<Self> {
        eprint!("\rlaunching {INSTANCES} instances        ");
        let root = Root::configure(programs)?;
        let blockd = root.start_blockd()?;
        let (mut plane, _) = start(runtime, &root, Hived::WithNode)?;
        import(&root)?;
        // The node's heartbeat outlives its hived for a minute: the launch finds a node, and no one acts on it.
        plane.hived = root.start_hived(Hived::CallsOnly)?;
        drop(blockd);
        runtime.block_on(launch(root.access())).with_context(|| root.logs())?;
        Ok(Self { root, _plane: plane })
    }

    /// Adds to each number of clients the latencies of each round.
    async fn measure(&self, options: &Options, measured: &mut [(usize, Vec<Vec<Duration>>)]) -> anyhow::Result<()> {
        let mut clients = Vec::new();
        let mut size_bytes = 0;
        for _ in 0..CLIENTS {
            let mut client = Client::connect(self.root.access()).await?;
            for _ in 0..WARM_UP_CALLS {
                let answer = client.call("DescribeInstances", "").await?;
                check(&answer)?;
                size_bytes = answer.body.len();
            }
            clients.push(client);
        }
        for round in 0..options.rounds {
            for (count, rounds) in measured.iter_mut() {
                eprint!("\rDescribeInstances round {}/{}, clients: {count}        ", round + 1, options.rounds);
                let calls = (options.calls as usize).div_ceil(*count);
                let loads = clients.drain(..*count).map(|client| tokio::spawn(describe(client, calls, size_bytes)));
                let loads: Vec<_> = loads.collect();
                let mut latencies = Vec::with_capacity(calls * *count);
                for done in try_join_all(loads).await? {
                    let (client, part) = done?;
                    latencies.extend(part);
                    clients.push(client);
                }
                rounds.push(latencies);
            }
        }
        Ok(())
    }
}

/// Tries until it succeeds: the API answers a moment before the operator's interface does.
fn import(root: &Root) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        match root.import_image() {
            Err(error) if began.elapsed() > START_TIMEOUT => return Err(error).with_context(|| root.logs()),
            Err(_) => std::thread::sleep(RETRY),
            Ok(()) => return Ok(()),
        }
    }
}

/// Launches the instances with what a user gives them: a key, tags, user data.
async fn launch(access: &Arc<Access>) -> anyhow::Result<()> {
    let began = Instant::now();
    // The worker that shall answer is starting.
    let (mut client, images) = loop {
        let call = async {
            let mut client = Client::connect(access).await?;
            let images = client.call("DescribeImages", "").await?;
            anyhow::Ok((client, images))
        };
        match call.await {
            Ok(answered) => break answered,
            Err(error) if began.elapsed() > START_TIMEOUT => return Err(error),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    let images = std::str::from_utf8(&images.body)?;
    let image_id = element(images, "imageId").context("the imported image is not listed")?;
    client.call("CreateKeyPair", "&KeyName=perf&KeyType=ed25519").await?;
    let parameters = format!(
        "&ImageId={image_id}&InstanceType=t3.nano&MinCount={INSTANCES}&MaxCount={INSTANCES}&KeyName=perf\
         &UserData=IyEvYmluL3NoCmVjaG8gaGVsbG8K&ClientToken=hive-perf\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
         &TagSpecification.1.Tag.1.Value=web&TagSpecification.1.Tag.2.Key=stage&TagSpecification.1.Tag.2.Value=test"
    );
    client.call("RunInstances", &parameters).await.map(drop)
}

/// The text of the first `tag`.
fn element<'a>(document: &'a str, tag: &str) -> Option<&'a str> {
    let (_, after) = document.split_once(&format!("<{tag}>"))?;
    after.split_once(&format!("</{tag}>")).map(|(text, _)| text)
}

/// All instances, and of each what only a whole record holds.
fn check(answer: &Answer) -> anyhow::Result<()> {
    let text = std::str::from_utf8(&answer.body)?;
    for tag in ["<instanceId>", "<keyName>perf<", "<macAddress>", "<rootDeviceName>", "<key>stage<"] {
        let found = text.matches(tag).count();
        ensure!(found == INSTANCES, "DescribeInstances shows {found} {tag} of {INSTANCES}");
    }
    Ok(())
}

/// `calls` calls one after the other. Each answer must be of the size that a checked one had.
async fn describe(mut client: Client, calls: usize, size_bytes: usize) -> anyhow::Result<(Client, Vec<Duration>)> {
    let mut latencies = Vec::with_capacity(calls);
    for _ in 0..calls {
        let answer = client.call("DescribeInstances", "").await?;
        ensure!(answer.body.len() == size_bytes, "an answer has {} bytes, not {size_bytes}", answer.body.len());
        latencies.push(answer.latency);
    }
    Ok((client, latencies))
}

/// The smallest of `values` that at least `percent` per cent of them do not exceed (nearest rank); zero of none.
fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn an_answer_short_of_one_instance_is_refused() {
        let one = "<instanceId>i</instanceId><keyName>perf</keyName><macAddress>02</macAddress>\
                   <rootDeviceName>x</rootDeviceName><key>stage</key>";
        let answer = |count: usize| Answer { body: one.repeat(count).into(), latency: Duration::ZERO };
        assert!(check(&answer(INSTANCES)).is_ok());
        assert!(check(&answer(INSTANCES - 1)).is_err());
    }

    #[test]
    fn elements() {
        assert_eq!(element("<a><imageId>ami-1</imageId><imageId>ami-2</imageId></a>", "imageId"), Some("ami-1"));
        assert_eq!(element("<a/>", "imageId"), None);
    }
}
