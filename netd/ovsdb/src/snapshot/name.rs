//! Names that become devices, sockets and files.

use super::shown;

/// What a kernel device may be called: IFNAMSIZ without its end.
pub const MAX_DEVICE_NAME_BYTES: usize = 15;
/// Of ports without a kernel device; the socket of a vhost-user port is called so, and a file's name ends here.
pub const MAX_NAME_BYTES: usize = 255;

/// Refuses what would lead out of the run directory, or could not be typed or shown.
pub fn check(name: &str, max_bytes: usize) -> Result<(), String> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(format!("{} is no name", shown(name)));
    }
    if name.len() > max_bytes {
        return Err(format!("the name {} is longer than {max_bytes} bytes", shown(name)));
    }
    if let Some(bad) = name.chars().find(|c| matches!(c, '/' | '\\') || c.is_whitespace() || c.is_control()) {
        return Err(format!("the name {} has a {bad:?}", shown(name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_astray_are_refused() {
        for bad in ["", ".", "..", "a/b", "..\\x", "a b", "a\0", "a\n", "sixteen-letters-"] {
            assert!(check(bad, MAX_DEVICE_NAME_BYTES).is_err(), "{bad:?}");
        }
        for good in ["br0", "vhu9758ef15-53", "eth0.100", "fünf"] {
            assert_eq!(check(good, MAX_DEVICE_NAME_BYTES), Ok(()));
        }
    }
}
