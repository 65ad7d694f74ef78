//! Arguments of commands.

/// A number, decimal or behind `0x`.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let value = match text.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    T::try_from(value).ok()
}

/// The value of `name=value`, if it has that name.
pub(super) fn named<'a>(argument: &'a str, name: &str) -> Option<&'a str> {
    argument.strip_prefix(name)?.strip_prefix('=')
}
