//! Groups: keys, the slots that stand for them, and the threads that share them out.
//!
//! * [`keys`]: group columns as bytes
//! * [`table`]: bytes to slots
//! * [`groups`]: slots with their accumulators, and what of them is stored
//! * [`parts`]: what an epoch stores, cut to what Arrow can hold
//! * [`pool`]: threads for shards

pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod parts;
pub(crate) mod pool;
pub(crate) mod table;
