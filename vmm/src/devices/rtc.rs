//! MC146818 real-time clock at ports 0x70/0x71: the wall clock of the host in UTC, and battery-backed bytes. No alarm.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;
const CENTURY: u8 = 0x32;

/// Divider for 32.768 kHz, default rate; no update in progress.
const STATUS_A_RUNNING: u8 = 0x26;
/// 24-hour mode, BCD.
const STATUS_B_24H: u8 = 0x02;
/// RAM and time are valid.
const STATUS_D_VALID: u8 = 0x80;
const INDEX_MASK: u8 = 0x7f;

/// The clock's state: the selected register and the bytes without a meaning of their own.
#[derive(Debug)]
pub struct Rtc {
    index: u8,
    ram: [u8; 128],
}

impl Default for Rtc {
    fn default() -> Self {
        Self { index: 0, ram: [0; 128] }
    }
}

impl Rtc {
    /// Select a register (port 0x70; bit 7 masks NMIs, which do not exist here).
    pub fn select(&mut self, index: u8) {
        self.index = index & INDEX_MASK;
    }

    /// Write the selected register. The host keeps the time, so writes to it are dropped.
    pub fn write(&mut self, value: u8) {
        if self.index > STATUS_D && self.index != CENTURY {
            self.ram[usize::from(self.index)] = value;
        }
    }

    /// Read the selected register.
    pub fn read(&self) -> u8 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.read_at(now)
    }

    fn read_at(&self, unix_seconds: u64) -> u8 {
        let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
        let (year, month, day) = civil_date(days);
        match self.index {
            SECONDS => bcd(second % 60),
            MINUTES => bcd(second / 60 % 60),
            HOURS => bcd(second / 3600),
            // The epoch was a Thursday; the clock's week begins with Sunday as 1.
            WEEKDAY => bcd((days + 4) % 7 + 1),
            DAY => bcd(day),
            MONTH => bcd(month),
            YEAR => bcd(year % 100),
            CENTURY => bcd(year / 100 % 100),
            STATUS_A => STATUS_A_RUNNING,
            STATUS_B => STATUS_B_24H,
            STATUS_C => 0,
            STATUS_D => STATUS_D_VALID,
            other => self.ram[usize::from(other)],
        }
    }
}

/// Two decimal digits.
fn bcd(value: u64) -> u8 {
    (((value / 10 % 10) << 4) | (value % 10)) as u8
}

/// Year, month and day of the proleptic Gregorian calendar for days since 1970-01-01, by eras of 400 years that begin in March.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / DAYS_PER_ERA, shifted % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_the_calendar() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_513), (2026, 3, 1));
        assert_eq!(civil_date(20_512), (2026, 2, 28));
    }

    #[test]
    fn time_is_read_in_bcd() {
        // 2026-11-22 21:04:59 UTC, a Sunday.
        let now = 1_795_381_499;
        let mut rtc = Rtc::default();
        let mut read = |index| {
            rtc.select(index);
            rtc.read_at(now)
        };
        let time = [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY].map(&mut read);
        assert_eq!(time, [0x59, 0x04, 0x21, 0x01, 0x22, 0x11, 0x26, 0x20]);
    }

    #[test]
    fn only_plain_bytes_can_be_written() {
        let mut rtc = Rtc::default();
        rtc.select(0x80 | 0x40);
        rtc.write(7);
        assert_eq!(rtc.read(), 7);
        rtc.select(STATUS_D);
        rtc.write(0);
        assert_eq!(rtc.read(), STATUS_D_VALID);
    }
}
