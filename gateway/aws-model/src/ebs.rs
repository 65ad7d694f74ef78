// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Schema of ebs, API version 2019-11-02.

use crate::table::Location;
use crate::table::{ErrorRow, Member, Operation, Protocol, Schema, Shape::*, TimestampFormat};

pub static SCHEMA: Schema = Schema {
    service: "ebs",
    protocol: Protocol::RestJson,
    api_version: "2019-11-02",
    namespace: "",
    names: NAMES,
    shapes: SHAPES,
    operations: OPERATIONS,
    errors: ERRORS,
};

#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
Operation { name: "CompleteSnapshot", method: "POST", uri: "/snapshots/completion/{snapshotId}", status: 202, input: Some(13), output: Some(14), result_wrapper: None, unsigned_payload: false, errors: &[0, 7, 5, 4, 6, 3] },
Operation { name: "GetSnapshotBlock", method: "GET", uri: "/snapshots/{snapshotId}/blocks/{blockIndex}", status: 200, input: Some(17), output: Some(18), result_wrapper: None, unsigned_payload: false, errors: &[0, 7, 5, 4, 6, 3] },
Operation { name: "ListChangedBlocks", method: "GET", uri: "/snapshots/{secondSnapshotId}/changedblocks", status: 200, input: Some(21), output: Some(22), result_wrapper: None, unsigned_payload: false, errors: &[0, 7, 5, 4, 6, 3] },
Operation { name: "ListSnapshotBlocks", method: "GET", uri: "/snapshots/{snapshotId}/blocks", status: 200, input: Some(23), output: Some(24), result_wrapper: None, unsigned_payload: false, errors: &[0, 7, 5, 4, 6, 3] },
Operation { name: "PutSnapshotBlock", method: "PUT", uri: "/snapshots/{snapshotId}/blocks/{blockIndex}", status: 201, input: Some(29), output: Some(30), result_wrapper: None, unsigned_payload: true, errors: &[0, 7, 5, 4, 6, 3] },
Operation { name: "StartSnapshot", method: "POST", uri: "/snapshots", status: 201, input: Some(33), output: Some(34), result_wrapper: None, unsigned_payload: false, errors: &[0, 7, 4, 5, 6, 3, 1, 2] },
];

#[rustfmt::skip]
static ERRORS: &[ErrorRow] = &[
ErrorRow { code: "AccessDeniedException", status: 403 },
ErrorRow { code: "ConcurrentLimitExceededException", status: 400 },
ErrorRow { code: "ConflictException", status: 409 },
ErrorRow { code: "InternalServerException", status: 500 },
ErrorRow { code: "RequestThrottledException", status: 400 },
ErrorRow { code: "ResourceNotFoundException", status: 404 },
ErrorRow { code: "ServiceQuotaExceededException", status: 402 },
ErrorRow { code: "ValidationException", status: 400 },
];

#[rustfmt::skip]
static SHAPES: &[crate::table::Shape] = &[
/* 0 Block */ Structure(&[Member::new(1, 1, 1, 2), Member::new(3, 3, 3, 4), ]),
/* 1 BlockData */ Blob { sensitive: true },
/* 2 BlockIndex */ Integer(Some(0), None),
/* 3 BlockSize */ Integer(None, None),
/* 4 BlockToken */ Text { values: &[], len: (None, Some(256)), pattern: Some("^[A-Za-z0-9+/=]+$"), sensitive: false },
/* 5 Blocks */ List { of: 0, item: 43, flattened: false, len: (None, None) },
/* 6 Boolean */ Boolean,
/* 7 ChangedBlock */ Structure(&[Member::new(1, 1, 1, 2), Member::new(15, 15, 15, 4), Member::new(26, 26, 26, 4), ]),
/* 8 ChangedBlocks */ List { of: 7, item: 43, flattened: false, len: (None, None) },
/* 9 ChangedBlocksCount */ Integer(Some(0), None),
/* 10 Checksum */ Text { values: &[], len: (None, Some(64)), pattern: Some("^[A-Za-z0-9+/=]+$"), sensitive: false },
/* 11 ChecksumAggregationMethod */ Text { values: &[19], len: (None, Some(32)), pattern: Some("^[A-Za-z0-9]+$"),
sensitive: false },
/* 12 ChecksumAlgorithm */ Text { values: &[25], len: (None, Some(32)), pattern: Some("^[A-Za-z0-9]+$"), sensitive:
false },
/* 13 CompleteSnapshotRequest */ Structure(&[Member::new(6, 52, 52, 9).at(Location::Header).required(), Member::new(7,
53, 53, 10).at(Location::Header), Member::new(8, 54, 54, 11).at(Location::Header), Member::new(9, 55, 55,
12).at(Location::Header), Member::new(28, 48, 48, 32).at(Location::Uri).required(), ]),
/* 14 CompleteSnapshotResponse */ Structure(&[Member::new(32, 32, 32, 35), ]),
/* 15 DataLength */ Integer(None, None),
/* 16 Description */ Text { values: &[], len: (None, Some(255)), pattern: Some("^[\\S\\s]+$"), sensitive: false },
/* 17 GetSnapshotBlockRequest */ Structure(&[Member::new(1, 37, 37, 2).at(Location::Uri).required(), Member::new(3,
38, 38, 4).at(Location::Query).required(), Member::new(28, 48, 48, 32).at(Location::Uri).required(), ]),
/* 18 GetSnapshotBlockResponse */ Structure(&[Member::new(0, 0, 0, 1).payload(), Member::new(7, 53, 53,
10).at(Location::Header), Member::new(9, 55, 55, 12).at(Location::Header), Member::new(11, 56, 56,
15).at(Location::Header), ]),
/* 19 IdempotencyToken */ Text { values: &[], len: (None, Some(255)), pattern: Some("^[\\S]+$"), sensitive: false },
/* 20 KmsKeyArn */ Text { values: &[], len: (Some(1), Some(2048)), pattern:
Some("arn:aws[a-z\\-]*:kms:.*:[0-9]{12}:key/.*"), sensitive: true },
/* 21 ListChangedBlocksRequest */ Structure(&[Member::new(16, 41, 41, 32).at(Location::Query), Member::new(20, 42, 42,
25).at(Location::Query), Member::new(21, 45, 45, 27).at(Location::Query), Member::new(27, 47, 47,
32).at(Location::Uri).required(), Member::new(31, 51, 51, 2).at(Location::Query), ]),
/* 22 ListChangedBlocksResponse */ Structure(&[Member::new(2, 2, 2, 3), Member::new(5, 5, 5, 8), Member::new(14, 14,
14, 40), Member::new(21, 21, 21, 27), Member::new(36, 36, 36, 42), ]),
/* 23 ListSnapshotBlocksRequest */ Structure(&[Member::new(20, 42, 42, 25).at(Location::Query), Member::new(21, 45,
45, 27).at(Location::Query), Member::new(28, 48, 48, 32).at(Location::Uri).required(), Member::new(31, 51, 51,
2).at(Location::Query), ]),
/* 24 ListSnapshotBlocksResponse */ Structure(&[Member::new(2, 2, 2, 3), Member::new(4, 4, 4, 5), Member::new(14, 14,
14, 40), Member::new(21, 21, 21, 27), Member::new(36, 36, 36, 42), ]),
/* 25 MaxResults */ Integer(Some(100), Some(10000)),
/* 26 OwnerId */ Text { values: &[], len: (Some(1), Some(24)), pattern: Some("\\S+"), sensitive: false },
/* 27 PageToken */ Text { values: &[], len: (None, Some(256)), pattern: Some("^[A-Za-z0-9+/=]+$"), sensitive: false },
/* 28 Progress */ Integer(Some(0), Some(100)),
/* 29 PutSnapshotBlockRequest */ Structure(&[Member::new(0, 0, 0, 1).required().payload(), Member::new(1, 37, 37,
2).at(Location::Uri).required(), Member::new(7, 53, 53, 10).at(Location::Header).required(), Member::new(9, 55, 55,
12).at(Location::Header).required(), Member::new(11, 56, 56, 15).at(Location::Header).required(), Member::new(24, 57,
57, 28).at(Location::Header), Member::new(28, 48, 48, 32).at(Location::Uri).required(), ]),
/* 30 PutSnapshotBlockResponse */ Structure(&[Member::new(7, 53, 53, 10).at(Location::Header), Member::new(9, 55, 55,
12).at(Location::Header), ]),
/* 31 SSEType */ Text { values: &[49, 50, 44], len: (None, None), pattern: None, sensitive: false },
/* 32 SnapshotId */ Text { values: &[], len: (Some(1), Some(64)), pattern: Some("^snap-[0-9a-f]+$"), sensitive: false },
/* 33 StartSnapshotRequest */ Structure(&[Member::new(10, 10, 10, 19).idempotency_token(), Member::new(12, 12, 12,
16), Member::new(13, 13, 13, 6), Member::new(18, 18, 18, 20), Member::new(23, 23, 23, 32), Member::new(33, 33, 33,
39), Member::new(34, 34, 34, 41), Member::new(36, 36, 36, 42).required(), ]),
/* 34 StartSnapshotResponse */ Structure(&[Member::new(2, 2, 2, 3), Member::new(12, 12, 12, 16), Member::new(18, 18,
18, 20), Member::new(22, 22, 22, 26), Member::new(23, 23, 23, 32), Member::new(28, 28, 28, 32), Member::new(29, 29,
29, 31), Member::new(30, 30, 30, 40), Member::new(32, 32, 32, 35), Member::new(33, 33, 33, 39), Member::new(36, 36,
36, 42), ]),
/* 35 Status */ Text { values: &[39, 46, 40], len: (None, Some(32)), pattern: None, sensitive: false },
/* 36 Tag */ Structure(&[Member::new(17, 17, 17, 37), Member::new(35, 35, 35, 38), ]),
/* 37 TagKey */ Text { values: &[], len: (None, Some(127)), pattern: Some("^[\\S\\s]+$"), sensitive: false },
/* 38 TagValue */ Text { values: &[], len: (None, Some(255)), pattern: Some("^[\\S\\s]*$"), sensitive: false },
/* 39 Tags */ List { of: 36, item: 43, flattened: false, len: (None, None) },
/* 40 TimeStamp */ Timestamp(TimestampFormat::UnixSeconds),
/* 41 Timeout */ Integer(Some(10), Some(4320)),
/* 42 VolumeSize */ Long(Some(1), None),
];

#[rustfmt::skip]
static NAMES: &[&str] = &[
"BlockData", "BlockIndex", "BlockSize", "BlockToken", "Blocks", "ChangedBlocks", "ChangedBlocksCount", "Checksum",
"ChecksumAggregationMethod", "ChecksumAlgorithm", "ClientToken", "DataLength", "Description", "Encrypted",
"ExpiryTime", "FirstBlockToken", "FirstSnapshotId", "Key", "KmsKeyArn", "LINEAR", "MaxResults", "NextToken",
"OwnerId", "ParentSnapshotId", "Progress", "SHA256", "SecondBlockToken", "SecondSnapshotId", "SnapshotId", "SseType",
"StartTime", "StartingBlockIndex", "Status", "Tags", "Timeout", "Value", "VolumeSize", "blockIndex", "blockToken",
"completed", "error", "firstSnapshotId", "maxResults", "member", "none", "pageToken", "pending", "secondSnapshotId",
"snapshotId", "sse-ebs", "sse-kms", "startingBlockIndex", "x-amz-ChangedBlocksCount", "x-amz-Checksum",
"x-amz-Checksum-Aggregation-Method", "x-amz-Checksum-Algorithm", "x-amz-Data-Length", "x-amz-Progress",
];
