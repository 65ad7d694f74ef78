//! The tables of all accounts' VPCs. Where they are too many for a switch, it is the largest accounts that have none: whoever makes
//! more rules than there is room for loses his own network, and nobody else's.

use hive_types::id::AccountId;
use hive_vpc::{CompileError, Compiled, Network};
use std::collections::{BTreeMap, BTreeSet};

/// What fits, and whose VPCs do not.
///
/// # Errors
/// Nobody's fits.
pub fn compile(
    networks: &BTreeMap<AccountId, Network>,
    compile: impl Fn(&Network) -> Result<Compiled, CompileError>,
) -> Result<(Compiled, BTreeSet<AccountId>), CompileError> {
    let mut left_out = BTreeSet::new();
    let first = match compile(&together(networks, &left_out)) {
        Ok(compiled) => return Ok((compiled, left_out)),
        Err(error) => error,
    };
    let alone = networks.iter().map(|(account, network)| {
        let size = compile(network).map_or(usize::MAX, |compiled| compiled.flows.len());
        (size, account)
    });
    let mut by_size: Vec<(usize, &AccountId)> = alone.collect();
    by_size.sort_unstable();
    while let Some((size, account)) = by_size.pop() {
        left_out.insert(account.clone());
        // Those which do not even fit alone are never tried with others.
        if size == usize::MAX && by_size.last().is_some_and(|(next, _)| *next == usize::MAX) {
            continue;
        }
        if let Ok(compiled) = compile(&together(networks, &left_out)) {
            return Ok((compiled, left_out));
        }
    }
    Err(first)
}

fn together(networks: &BTreeMap<AccountId, Network>, left_out: &BTreeSet<AccountId>) -> Network {
    let mut all = Network::default();
    for (_, network) in networks.iter().filter(|(account, _)| !left_out.contains(*account)) {
        all.absorb(network.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_vpc::{FlowBody, FlowKey};

    /// A flow for each ACL, of which a switch takes ten.
    fn ten(network: &Network) -> Result<Compiled, CompileError> {
        if network.acls.len() > 10 {
            return Err(CompileError::TooManyFlows);
        }
        let flows = (0..network.acls.len()).map(|number| {
            let key = FlowKey { table: 0, priority: number as u16, matching: Default::default() };
            (key, FlowBody { cookie: 0, actions: Vec::new() })
        });
        Ok(Compiled { flows: flows.collect(), ..Compiled::default() })
    }

    fn accounts(sizes: &[usize]) -> BTreeMap<AccountId, Network> {
        let network = |account: usize, size| Network {
            acls: (0..size).map(|n| (format!("acl-{account}-{n}").as_str().into(), Default::default())).collect(),
            ..Network::default()
        };
        let id = |account: usize| format!("{account:012}").parse().expect("an account");
        sizes.iter().enumerate().map(|(account, size)| (id(account), network(account, *size))).collect()
    }

    #[test]
    fn the_largest_are_left_out_until_the_others_fit() {
        for (sizes, fit, left) in [
            (&[4, 6][..], Some(10), &[][..]),
            (&[4, 7, 2], Some(6), &[1]),
            (&[11, 4, 12, 6], Some(10), &[0, 2]),
            (&[5, 5, 5], Some(10), &[2]),
            (&[11], Some(0), &[0]),
        ] {
            let networks = accounts(sizes);
            let names: Vec<&AccountId> = networks.keys().collect();
            let (compiled, left_out) = compile(&networks, ten).expect("some fit");
            assert_eq!(Some(compiled.flows.len()), fit, "{sizes:?}");
            assert_eq!(left_out, left.iter().map(|at: &usize| names[*at].clone()).collect(), "{sizes:?}");
        }
        assert!(compile(&accounts(&[1]), |_| Err(CompileError::TooManyFlows)).is_err());
    }
}
