//! From what a server or the network did to what the caller can do about it.

use super::http::Answer;
use crate::error::{Attempt, Cause, Operation, StoreError};
use http::StatusCode;
use std::{error::Error, sync::Arc};

/// The server's answer among the causes of an error; none if it gave none, or one that makes no sense.
fn answer_in<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Answer> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(answer) = error.downcast_ref::<Answer>() {
            return Some(answer);
        }
        next = error.source();
    }
    None
}

/// What an error of one try means.
pub(super) fn classify(attempt: Attempt, error: object_store::Error) -> StoreError {
    match answer_in(&error).cloned() {
        Some(answer) => of_answer(attempt, answer),
        // Connection, TLS, a body cut short, a success without the headers it must have: all of them may be better next time.
        None => StoreError::Unavailable { attempt, source: Arc::new(error) },
    }
}

fn of_answer(attempt: Attempt, answer: Answer) -> StoreError {
    let is_write = matches!(attempt.operation, Operation::Put | Operation::PutIf | Operation::Delete);
    let (status, code) = (answer.status, answer.code.clone());
    let source: Cause = Arc::new(answer);
    // Codes first, because servers differ in the status: AWS, Ceph RGW ("QuotaExceeded" with 403), MinIO ("XMinio...").
    match code.as_str() {
        "NoSuchBucket" => return StoreError::Invalid { attempt, source },
        "InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => {
            return StoreError::NoSpace { attempt, source };
        }
        // Clocks are set right, bodies are sent whole, other writers finish. A 409 means that nothing was written.
        "RequestTimeTooSkewed"
        | "RequestTimeout"
        | "IncompleteBody"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "SlowDown" => {
            return StoreError::Unavailable { attempt, source };
        }
        _ => {}
    }
    match status {
        StatusCode::NOT_FOUND if attempt.operation == Operation::PutIf => {
            StoreError::Conflict { attempt, perhaps_applied: false }
        }
        StatusCode::NOT_FOUND => StoreError::NotFound { attempt },
        // 304 is what some stores say to `If-None-Match: *`.
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED if attempt.operation == Operation::PutIf => {
            StoreError::Conflict { attempt, perhaps_applied: false }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::Denied { attempt, source },
        StatusCode::METHOD_NOT_ALLOWED if is_write => StoreError::ReadOnly { attempt, source },
        StatusCode::RANGE_NOT_SATISFIABLE => StoreError::Damaged { attempt, source },
        StatusCode::INSUFFICIENT_STORAGE => StoreError::NoSpace { attempt, source },
        StatusCode::NOT_IMPLEMENTED => StoreError::Invalid { attempt, source },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => {
            StoreError::Unavailable { attempt, source }
        }
        status if status.is_server_error() => StoreError::Unavailable { attempt, source },
        // A redirect: the wrong region or endpoint.
        _ => StoreError::Invalid { attempt, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: Operation, status: u16, code: &str) -> StoreError {
        let status = StatusCode::from_u16(status).unwrap();
        of_answer(Attempt::new(operation, "k"), Answer { status, code: code.into(), message: String::new() })
    }

    #[test]
    fn answers() {
        use Operation::{Get, GetRange, Put, PutIf, Size};
        assert!(matches!(of(Size, 404, ""), StoreError::NotFound { .. }));
        assert!(matches!(of(Get, 404, "NoSuchBucket"), StoreError::Invalid { .. }));
        assert!(matches!(of(PutIf, 404, "NoSuchKey"), StoreError::Conflict { perhaps_applied: false, .. }));
        assert!(matches!(of(PutIf, 412, "PreconditionFailed"), StoreError::Conflict { .. }));
        assert!(matches!(of(PutIf, 409, "ConditionalRequestConflict"), StoreError::Unavailable { .. }));
        assert!(matches!(of(Put, 403, "AccessDenied"), StoreError::Denied { .. }));
        assert!(matches!(of(Put, 403, "QuotaExceeded"), StoreError::NoSpace { .. }));
        assert!(matches!(of(Put, 403, "RequestTimeTooSkewed"), StoreError::Unavailable { .. }));
        assert!(matches!(of(Put, 405, "MethodNotAllowed"), StoreError::ReadOnly { .. }));
        assert!(matches!(of(Put, 507, ""), StoreError::NoSpace { .. }));
        assert!(matches!(of(Put, 503, "SlowDown"), StoreError::Unavailable { .. }));
        assert!(matches!(of(Put, 400, "RequestTimeout"), StoreError::Unavailable { .. }));
        assert!(matches!(of(Put, 301, "PermanentRedirect"), StoreError::Invalid { .. }));
        assert!(matches!(of(GetRange, 416, "InvalidRange"), StoreError::Damaged { .. }));
    }

    #[test]
    fn an_answer_is_found_below_what_wraps_it() {
        let answer = Answer { status: StatusCode::FORBIDDEN, code: "AccessDenied".into(), message: "no".into() };
        let error = object_store::Error::Generic { store: "S3", source: Box::new(std::io::Error::other(answer)) };
        // io::Error gives the source of its content, not the content: the chain must be one of plain sources.
        assert!(answer_in(&error).is_none());
        let answer = Answer { status: StatusCode::FORBIDDEN, code: "AccessDenied".into(), message: "no".into() };
        let error = object_store::Error::Generic { store: "S3", source: Box::new(answer) };
        assert!(matches!(classify(Attempt::new(Operation::Get, "k"), error), StoreError::Denied { .. }));
    }
}
