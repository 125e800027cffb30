//! What the bytes say: ids, operations, error codes, paths, and every record of the client
//! protocol and the transaction log.

pub mod acl;
pub mod auth_info;
pub mod compatibility;
pub mod digest_algorithm;
pub mod election_greeting;
pub mod error_code;
pub mod host_port;
pub mod ids;
pub mod membership;
pub mod op_code;
pub mod password;
pub mod path;
pub mod quorum_packet;
pub mod requests;
pub mod responses;
pub mod stat;
pub mod txns;
pub mod vote;
pub mod watch_event;

pub use acl::{Acl, AclList, perms};
pub use auth_info::AuthInfo;
pub use compatibility::CompatibilityLevel;
pub use digest_algorithm::DigestAlgorithm;
pub use election_greeting::ElectionGreeting;
pub use error_code::ErrorCode;
pub use ids::{ConnectionId, Epoch, LinkId, SessionId, Sid, Ticket, Zxid};
pub use membership::QuorumVerifier;
pub use op_code::OpCode;
pub use quorum_packet::QuorumPacket;
pub use stat::{Stat, StatPersisted};
pub use vote::{Notification, ServerState, Vote};
pub use watch_event::EventType;
