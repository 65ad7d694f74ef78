//! Commands that every daemon of Open vSwitch has.

use crate::commands::{Call, Commands};
use crate::coverage::{Counters, Coverage};
use crate::vlog::{self, Logging};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the daemon contributes to them.
pub struct Program {
    /// What `version` prints: `netd (Open vSwitch) 3.1.0`, say.
    pub version: String,
    pub logging: Box<dyn Logging>,
    /// Counters of events since the start, for `coverage/show`. Read every five seconds, so it must be quick.
    pub counters: Box<dyn Fn() -> Counters + Send>,
    /// How much there is of what takes memory, for `memory/show`.
    pub memory: Box<dyn Fn() -> Counters + Send>,
    /// Ends the daemon, and answers when that is done; the call may have the argument `--cleanup`.
    pub exit: Box<dyn FnMut(Call) + Send>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("version", &self.version).finish_non_exhaustive()
    }
}

/// `vlog/set` takes as many specs as one likes; nobody likes more.
const MAX_SPECS: usize = 256;

impl Commands {
    /// With the commands that every daemon has. Others may be added until the server serves.
    pub fn new(program: Program) -> Self {
        let Program { version, logging, counters, memory, exit } = program;
        let mut commands = Self::default();
        commands.add("version", "", 0..=0, move |_| Ok(version.clone()));
        commands.add_deferred("exit", "[--cleanup]", 0..=1, exit);

        let logging = Arc::new(Mutex::new(logging));
        let of = |logging: &Arc<Mutex<Box<dyn Logging>>>| logging.clone();
        let (set, list) = (of(&logging), of(&logging));
        commands.add("vlog/set", "{spec | PATTERN:destination:pattern}", 1..=MAX_SPECS, move |specs| {
            vlog::set(set.lock().unwrap_or_else(PoisonError::into_inner).as_mut(), specs)
        });
        commands.add("vlog/list", "", 0..=0, move |_| {
            Ok(vlog::list(list.lock().unwrap_or_else(PoisonError::into_inner).as_ref()))
        });
        commands.add("vlog/reopen", "", 0..=0, move |_| {
            logging.lock().unwrap_or_else(PoisonError::into_inner).reopen().map(|()| String::new())
        });

        let coverage = Arc::new(Mutex::new(Coverage::new(counters, Instant::now())));
        let (show, read) = (coverage.clone(), coverage.clone());
        commands
            .add("coverage/show", "", 0..=0, move |_| Ok(show.lock().unwrap_or_else(PoisonError::into_inner).show()));
        commands.add("coverage/read-counter", "COUNTER", 1..=1, move |arguments| {
            let coverage = read.lock().unwrap_or_else(PoisonError::into_inner);
            let count = arguments.first().and_then(|name| coverage.read(name));
            count.map(|count| count.to_string()).ok_or_else(|| "No such counter".to_owned())
        });
        commands.coverage = Some(coverage);
        commands.add("memory/show", "", 0..=0, move |_| {
            let mut usage = memory();
            usage.sort();
            Ok(usage.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(" "))
        });
        commands
    }

    /// Adds `list-commands` and `help`, which know all the others.
    pub(crate) fn finish(&mut self) {
        const LIST: [&str; 2] = ["help", "list-commands"];
        let mut usages = self.usages();
        usages.extend(LIST.map(|name| (name.to_owned(), String::new())));
        usages.sort();
        let lines = usages.iter().map(|(name, usage)| format!("  {name:<23} {usage}\n"));
        let text = format!("The available commands are:\n{}", lines.collect::<String>());
        for name in LIST {
            let text = text.clone();
            self.add(name, "", 0..=0, move |_| Ok(text.clone()));
        }
    }
}
