//! Results: a table for people, JSON lines for programs.

use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// One comparison. `ratio` above 1 always means that ours is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub bench: &'static str,
    pub case: String,
    /// Medians of the rounds.
    pub ours: f64,
    pub rival: f64,
    pub rival_name: &'static str,
    pub ratio: f64,
    /// What `ratio` must reach; none where a figure is only shown.
    pub target: Option<f64>,
    pub met: Option<bool>,
    pub unit: &'static str,
    /// Ours and the rival's figure of each round.
    pub rounds: Vec<(f64, f64)>,
    /// What a reader should know of how the figure came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line {
    /// Compare the medians of `rounds`, of which there is at least one.
    pub fn new(
        bench: &'static str,
        case: impl Into<String>,
        (unit, better): (&'static str, Better),
        rival_name: &'static str,
        target: Option<f64>,
        rounds: Vec<(f64, f64)>,
    ) -> Self {
        let ours = median(rounds.iter().map(|r| r.0));
        let rival = median(rounds.iter().map(|r| r.1));
        let ratio = match better {
            // Nothing is as little as can be: it meets what it must and no more is said.
            Better::Lower if ours == 0.0 => 1.0,
            Better::Higher => ours / rival,
            Better::Lower => rival / ours,
        };
        let met = target.map(|target| ratio >= target);
        Self { bench, case: case.into(), ours, rival, rival_name, ratio, target, met, unit, rounds, note: None }
    }

    /// A figure of ours that no rival has, beside the most it may be.
    pub fn limit(
        bench: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        limit: f64,
        figures: impl IntoIterator<Item = f64>,
    ) -> Self {
        let rounds = figures.into_iter().map(|figure| (figure, limit)).collect();
        Self::new(bench, case, (unit, Better::Lower), "limit", Some(1.0), rounds)
    }

    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// The middle value; the mean of the two middle ones of an even number. NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|below| values.get(below))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (Some(value), _) => *value,
        (None, _) => f64::NAN,
    }
}

/// The machine's load averages: what else ran.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// A figure in few digits.
fn short(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Print `lines` as a table, each round beneath.
pub fn print(lines: &[Line]) {
    let width = lines.iter().map(|line| line.case.len()).max().unwrap_or(0).max(28);
    println!(
        "{:<width$} {:>10} {:>10}  {:<6} {:<22} {:>6} {:>7}",
        "case", "ours", "rival", "unit", "rival is", "ratio", "target"
    );
    for line in lines {
        let target = line.target.map_or_else(|| "-".to_owned(), |t| format!("{t:.2}"));
        let verdict = match line.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        println!(
            "{:<width$} {:>10} {:>10}  {:<6} {:<22} {:>6.2} {:>7} {verdict}",
            line.case,
            short(line.ours),
            short(line.rival),
            line.unit,
            line.rival_name,
            line.ratio,
            target
        );
        let rounds: Vec<String> = line.rounds.iter().map(|(o, r)| format!("{}/{}", short(*o), short(*r))).collect();
        println!("{:<width$} rounds: {}", "", rounds.join("  "));
        if let Some(note) = &line.note {
            println!("{:<width$} {note}", "");
        }
    }
}

/// Append `lines` to `path`, one JSON object a line.
pub fn write_json(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    for line in lines {
        writeln!(file, "{}", serde_json::to_string(line)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_ratio_above_one_means_ours_is_better() {
        let rounds = vec![(10.0, 5.0)];
        let line = |better| Line::new("b", "c", ("u", better), "r", Some(1.5), rounds.clone());
        assert_eq!((line(Better::Higher).ratio, line(Better::Higher).met), (2.0, Some(true)));
        assert_eq!((line(Better::Lower).ratio, line(Better::Lower).met), (0.5, Some(false)));
    }

    #[test]
    fn json_has_the_agreed_keys() {
        let line = Line::new("block", "c", ("us", Better::Lower), "fio", None, vec![(1.0, 2.0)]);
        let json = serde_json::to_value(&line).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = ["bench", "case", "met", "ours", "ratio", "rival", "rival_name", "rounds", "target", "unit"];
        assert!(wanted.iter().all(|key| keys.contains(key)) && keys.len() == wanted.len(), "{keys:?}");
    }
}
