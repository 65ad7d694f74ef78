//! `ovs-appctl vlog/*`: levels by part of the daemon.

use hive_unixctl::Logging;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Names of modules for people, and where they log from.
const MODULES: [(&str, &str); 9] = [
    ("conntrack", "hive_conntrack"),
    ("datapath", "hive_datapath"),
    ("device", "hive_device"),
    ("netd", "hive_netd"),
    ("ofproto", "hive_ofproto"),
    ("ovsdb", "hive_ovsdb"),
    ("pipeline", "hive_pipeline"),
    ("unixctl", "hive_unixctl"),
    (WIREGUARD, "boringtun"),
];

/// It names no peer, and warns of each handshake that nobody answers; what there is to know is in the interface's status.
const WIREGUARD: &str = "wireguard";

#[derive(Debug)]
struct Levels {
    levels: BTreeMap<&'static str, LevelFilter>,
    filter: reload::Handle<Targets, Registry>,
}

/// The levels of the daemon's log.
#[derive(Clone, Debug)]
pub struct Logs(Arc<Mutex<Levels>>);

fn targets(levels: &BTreeMap<&'static str, LevelFilter>) -> Targets {
    let named = MODULES.iter().filter_map(|(name, target)| Some((*target, *levels.get(name)?)));
    Targets::new().with_default(LevelFilter::WARN).with_targets(named)
}

/// Starts to log to standard error; to be called once. All but the encryption's protocol is logged at `info` until it is set otherwise.
pub fn start_logging() -> Logs {
    let level = |name: &str| if name == WIREGUARD { LevelFilter::OFF } else { LevelFilter::INFO };
    let levels: BTreeMap<_, _> = MODULES.iter().map(|(name, _)| (*name, level(name))).collect();
    let (filter, handle) = reload::Layer::new(targets(&levels));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(lines).init();
    Logs(Arc::new(Mutex::new(Levels { levels, filter: handle })))
}

impl Logging for Logs {
    fn modules(&self) -> Vec<(String, LevelFilter)> {
        let levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        levels.levels.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect()
    }

    fn set(&mut self, module: Option<&str>, level: LevelFilter) -> Result<(), String> {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, held) in &mut levels.levels {
            if module.is_none_or(|module| module == *name) {
                *held = level;
            }
        }
        let targets = targets(&levels.levels);
        levels.filter.reload(targets).map_err(|error| error.to_string())
    }

    fn reopen(&mut self) -> Result<(), String> {
        // Standard error has nothing to be opened.
        Ok(())
    }
}
