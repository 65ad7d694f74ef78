//! Commands by name, and calls of them.

use rustix::event::EventfdFlags;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// The text that ovs-appctl prints, or the error with which it ends (status 2).
pub type Answer = Result<String, String>;

type Handler = Box<dyn FnMut(Call) + Send>;

struct Command {
    usage: String,
    arguments: RangeInclusive<usize>,
    handler: Handler,
}

/// What a server answers.
#[derive(Default)]
pub struct Commands {
    commands: BTreeMap<String, Command>,
    pub(crate) coverage: Option<Arc<Mutex<crate::coverage::Coverage>>>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("commands", &self.commands.keys()).finish_non_exhaustive()
    }
}

impl Commands {
    /// Adds a command that is answered at once, on the server's thread. `usage` names its arguments for `list-commands`.
    pub fn add(
        &mut self,
        name: &str,
        usage: &str,
        arguments: RangeInclusive<usize>,
        mut handler: impl FnMut(&[String]) -> Answer + Send + 'static,
    ) {
        self.add_deferred(name, usage, arguments, move |call| {
            let answer = handler(call.arguments());
            call.answer(answer);
        });
    }

    /// Adds a command whose handler takes the call along, to answer it from wherever and whenever it can.
    pub fn add_deferred(
        &mut self,
        name: &str,
        usage: &str,
        arguments: RangeInclusive<usize>,
        handler: impl FnMut(Call) + Send + 'static,
    ) {
        let command = Command { usage: usage.to_owned(), arguments, handler: Box::new(handler) };
        self.commands.insert(name.to_owned(), command);
    }

    /// The text of `list-commands`, but for that command itself.
    pub(crate) fn usages(&self) -> Vec<(String, String)> {
        self.commands.iter().map(|(name, command)| (name.clone(), command.usage.clone())).collect()
    }

    /// Calls a command, or says why it cannot be called, in ovs-vswitchd's words.
    pub(crate) fn call(&mut self, method: &str, params: Vec<Value>, reply: Reply) {
        let Some(command) = self.commands.get_mut(method) else {
            let shown: String = method.chars().take(MAX_SHOWN_CHARS).collect();
            let hint = "(use \"list-commands\" to see a list of valid commands)";
            return reply.send(Err(format!("\"{shown}\" is not a valid command {hint}")));
        };
        let (least, most) = (*command.arguments.start(), *command.arguments.end());
        if params.len() < least {
            return reply.send(Err(format!("\"{method}\" command requires at least {least} arguments")));
        }
        if params.len() > most {
            return reply.send(Err(format!("\"{method}\" command takes at most {most} arguments")));
        }
        let strings = params.into_iter().map(|param| if let Value::String(text) = param { Some(text) } else { None });
        let Some(arguments) = strings.collect::<Option<Vec<String>>>() else {
            return reply.send(Err(format!("\"{method}\" command has non-string argument")));
        };
        (command.handler)(Call { arguments, reply: Some(reply) });
    }
}

/// Of a command that there is not.
const MAX_SHOWN_CHARS: usize = 80;

/// A command that waits for its answer. One that is dropped without is answered with an error.
#[derive(Debug)]
pub struct Call {
    arguments: Vec<String>,
    reply: Option<Reply>,
}

impl Call {
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    pub fn answer(mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.send(Err("the command was given up".to_owned()));
        }
    }
}

/// Where answers go: from any thread to the server's.
#[derive(Debug)]
pub(crate) struct Outbox {
    answers: Mutex<Vec<(Address, Answer)>>,
    pub(crate) bell: OwnedFd,
}

/// Which request of which client.
#[derive(Debug)]
pub(crate) struct Address {
    pub client: u64,
    pub id: Value,
}

impl Outbox {
    pub fn new() -> rustix::io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { answers: Mutex::default(), bell })
    }

    pub fn ring(&self) {
        // Non-blocking; a counter that is full has already woken the thread.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// All answers since the last time. There is at most one a client.
    pub fn take(&self) -> Vec<(Address, Answer)> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub outbox: Arc<Outbox>,
    pub address: Address,
}

impl Reply {
    fn send(self, answer: Answer) {
        self.outbox.answers.lock().unwrap_or_else(PoisonError::into_inner).push((self.address, answer));
        self.outbox.ring();
    }
}
