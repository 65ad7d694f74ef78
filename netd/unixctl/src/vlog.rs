//! Log levels as Open vSwitch names them: ovs-appctl(8), "Logging Commands".

use tracing::level_filters::LevelFilter;

/// What the daemon's logging can be asked for. Called on the server's thread.
pub trait Logging: Send {
    /// Modules and the levels they log at.
    fn modules(&self) -> Vec<(String, LevelFilter)>;
    /// Sets the level of a module, or of all.
    fn set(&mut self, module: Option<&str>, level: LevelFilter) -> Result<(), String>;
    /// Opens the log file anew, after it was moved away. A daemon that logs to its standard error has nothing to do.
    fn reopen(&mut self) -> Result<(), String>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    Console,
    Syslog,
    File,
}

/// What `vlog/set` was told: `[module][:[destination][:level]]`, in any order, apart by colons, commas or blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Nothing: all.
    pub module: Option<String>,
    pub destination: Option<Destination>,
    pub level: LevelFilter,
}

impl Spec {
    /// Reads a spec; `is_module` knows the modules. Words of the errors are ovs-vswitchd's.
    pub fn parse(text: &str, is_module: impl Fn(&str) -> bool) -> Result<Self, String> {
        let (mut module, mut destination, mut level) = (None, None, None);
        for word in text.split([' ', ',', ':', '\t']).filter(|word| !word.is_empty()) {
            let lower = word.to_ascii_lowercase();
            match lower.as_str() {
                "pattern" | "facility" => return Err(format!("{word} is not supported")),
                "any" => continue,
                _ => {}
            }
            let doubled = if let Some(named) = parse_level(&lower) {
                level.replace(named).is_some().then_some("levels")
            } else if let Some(named) = parse_destination(&lower) {
                destination.replace(named).is_some().then_some("destinations")
            } else if is_module(word) {
                module.replace(word.to_owned()).is_some().then_some("modules")
            } else {
                return Err(format!("no destination, level, or module \"{word}\""));
            };
            if let Some(what) = doubled {
                return Err(format!("cannot specify multiple {what}"));
            }
        }
        Ok(Self { module, destination, level: level.unwrap_or(LevelFilter::DEBUG) })
    }
}

fn parse_level(word: &str) -> Option<LevelFilter> {
    match word {
        "off" => Some(LevelFilter::OFF),
        "emer" | "err" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "dbg" => Some(LevelFilter::DEBUG),
        _ => None,
    }
}

fn parse_destination(word: &str) -> Option<Destination> {
    match word {
        "console" => Some(Destination::Console),
        "syslog" => Some(Destination::Syslog),
        "file" => Some(Destination::File),
        _ => None,
    }
}

fn name(level: LevelFilter) -> &'static str {
    match level {
        LevelFilter::OFF => "OFF",
        LevelFilter::ERROR => "ERR",
        LevelFilter::WARN => "WARN",
        LevelFilter::INFO => "INFO",
        _ => "DBG",
    }
}

/// `vlog/set`. There is one destination, standard error, which stands for console and file; syslog has nothing to set.
pub(crate) fn set(logging: &mut dyn Logging, specs: &[String]) -> Result<String, String> {
    let modules = logging.modules();
    for spec in specs {
        let spec = Spec::parse(spec, |word| modules.iter().any(|(module, _)| module == word))?;
        if spec.destination != Some(Destination::Syslog) {
            logging.set(spec.module.as_deref(), spec.level)?;
        }
    }
    Ok(String::new())
}

/// `vlog/list`.
pub(crate) fn list(logging: &dyn Logging) -> String {
    let mut text =
        "                 console    syslog    file\n                 -------    ------    ------\n".to_owned();
    let mut modules = logging.modules();
    modules.sort();
    for (module, level) in modules {
        text += &format!("{module:<16}  {:>4}       {:>4}       {:>4}\n", name(level), "OFF", "OFF");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Spec, String> {
        Spec::parse(text, |word| word == "bridge" || word == "netd::worker")
    }

    fn spec(module: Option<&str>, destination: Option<Destination>, level: LevelFilter) -> Result<Spec, String> {
        Ok(Spec { module: module.map(str::to_owned), destination, level })
    }

    #[test]
    fn specs_as_ovs_vswitchd_takes_them() {
        assert_eq!(parse(""), spec(None, None, LevelFilter::DEBUG));
        assert_eq!(parse("dbg"), spec(None, None, LevelFilter::DEBUG));
        assert_eq!(parse("bridge:file:WARN"), spec(Some("bridge"), Some(Destination::File), LevelFilter::WARN));
        assert_eq!(parse("ANY:console:off"), spec(None, Some(Destination::Console), LevelFilter::OFF));
        assert_eq!(parse("err bridge"), spec(Some("bridge"), None, LevelFilter::ERROR));
        assert_eq!(parse("frob:dbg"), Err("no destination, level, or module \"frob\"".to_owned()));
        assert_eq!(parse("dbg:info"), Err("cannot specify multiple levels".to_owned()));
        assert!(parse("PATTERN:console:%m").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_spec_or_is_not(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
