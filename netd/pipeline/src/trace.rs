//! What a translation did, for `ofproto/trace`.

use crate::show::ShownAction;
use hive_flow::Key;
use hive_ofproto::Flow;
use hive_openflow::Action;
use std::fmt::Write;

/// Lines that are kept: a pipeline that searches 4096 times tells no more.
const LINES_MAX: usize = 100_000;

/// The text, as it grows.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub text: String,
    lines: usize,
    depth: usize,
    pub final_flow: Option<Key>,
}

impl Trace {
    fn line(&mut self, indent: usize, line: std::fmt::Arguments<'_>) {
        self.lines += 1;
        if self.lines <= LINES_MAX {
            let _ = writeln!(self.text, "{:indent$}{line}", "");
        }
    }

    pub fn enter(&mut self, flow: &Flow) {
        let indent = 4 * self.depth;
        let matching = flow.matching.to_string();
        let comma = if matching.is_empty() { "" } else { ", " };
        let cookie = if flow.cookie == 0 { String::new() } else { format!(", cookie {:#x}", flow.cookie) };
        self.line(indent, format_args!("{:2}. {matching}{comma}priority {}{cookie}", flow.table, flow.priority));
        if flow.actions.is_empty() {
            self.line(indent + 4, format_args!("drop"));
        }
        self.depth += 1;
    }

    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub fn action(&mut self, action: &Action) {
        self.line(4 * self.depth, format_args!("{}", ShownAction(action)));
    }

    pub fn note(&mut self, text: String) {
        self.line(4 * self.depth, format_args!(" -> {text}"));
    }
}
