//! Whether a caller may call. Pure: everything that decides is an argument.

use crate::wire::Fault;
use hive_aws_model::OperationRef;
use hive_types::Principal;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny,
}

/// The root of an account may do everything in it, and operations only ever see the caller's own account. Everybody else is
/// denied: nothing grants them anything yet.
pub fn decide(caller: &Principal) -> Decision {
    let root = format!("arn:aws:iam::{}:root", caller.account);
    if caller.arn == root { Decision::Allow } else { Decision::Deny }
}

/// The refusal of a denied call.
pub fn refusal(caller: &Principal, operation: OperationRef) -> Fault {
    let (service, name) = (operation.schema.service, operation.name());
    if service == "ec2" {
        let message = format!("You are not authorized to perform this operation. User: {} ", caller.arn);
        return Fault::new("UnauthorizedOperation", 403, message + &format!("may not perform: {service}:{name}"));
    }
    let message = format!("User: {} is not authorized to perform: {service}:{name}", caller.arn);
    if service == "ebs" {
        return Fault::new("AccessDeniedException", 403, message).because("UNAUTHORIZED_ACCOUNT");
    }
    Fault::new("AccessDenied", 403, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_of_the_account_is_allowed() {
        let caller = |arn: &str| Principal {
            account: "123456789012".parse().expect("account"),
            arn: arn.into(),
            user_id: "u".into(),
            access_key_id: "k".into(),
        };
        assert_eq!(decide(&caller("arn:aws:iam::123456789012:root")), Decision::Allow);
        assert_eq!(decide(&caller("arn:aws:iam::123456789012:user/root")), Decision::Deny);
        assert_eq!(decide(&caller("arn:aws:iam::999999999999:root")), Decision::Deny);
    }
}
