//! Randomness for ids and keys, from the kernel.

use crate::error::Error;

/// # Errors
/// The kernel gives none.
pub fn draw() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::Fault(format!("cannot draw random bytes: {e}")))?;
    Ok(u128::from_ne_bytes(bytes))
}
