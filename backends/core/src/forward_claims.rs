//! The operations on claims, as every wrapper forwards them.

/// The six operations of a [`Backend`](crate::Backend) on claims, each asked of the backend within: `$within`, as the
/// wrapper's `$this` has it.
macro_rules! forward_claims {
    ($this:ident, $within:expr) => {
        async fn claim(
            &$this,
            key: &$crate::ClaimKey<'_>,
            request: &$crate::ClaimRequest<'_>,
            now: $crate::Timestamp,
        ) -> Result<$crate::Claimed, $crate::BackendError> {
            $within.claim(key, request, now).await
        }

        async fn finish(
            &$this,
            key: &$crate::ClaimKey<'_>,
            completion: &$crate::Completion<'_>,
            now: $crate::Timestamp,
        ) -> Result<$crate::Recorded, $crate::BackendError> {
            $within.finish(key, completion, now).await
        }

        async fn renew(
            &$this,
            key: &$crate::ClaimKey<'_>,
            owner: $crate::Owner,
            until: $crate::Timestamp,
            now: $crate::Timestamp,
        ) -> Result<$crate::Ownership, $crate::BackendError> {
            $within.renew(key, owner, until, now).await
        }

        async fn release(
            &$this,
            key: &$crate::ClaimKey<'_>,
            owner: $crate::Owner,
            now: $crate::Timestamp,
        ) -> Result<$crate::Ownership, $crate::BackendError> {
            $within.release(key, owner, now).await
        }

        async fn find(
            &$this,
            key: &$crate::ClaimKey<'_>,
            now: $crate::Timestamp,
        ) -> Result<Option<$crate::Record>, $crate::BackendError> {
            $within.find(key, now).await
        }

        async fn forget(
            &$this,
            key: &$crate::ClaimKey<'_>,
            now: $crate::Timestamp,
        ) -> Result<(), $crate::BackendError> {
            $within.forget(key, now).await
        }
    };
}

pub(crate) use forward_claims;
