//! Gaps: times in which something may have happened that nobody saw, said when they open and when they are recovered.
//!
//! In: what the follower and the inventories find out. Out: `agent.gap` events. A gap is written down before it is
//! said, so that a later process can still say that it is recovered.

use bus_schema::fleet::{AgentGap, Coverage as CoverageScope};
use bus_schema::{AgentId, ClusterId};
use jiff::Timestamp;

use crate::coverage::{Coverage, CoverageError, CoverageFile, OPEN_GAPS_MAX, OpenGap};
use crate::epoch::Epoch;

/// What is known of the agent's own completeness.
#[derive(Debug)]
pub(crate) struct Gaps {
    file: CoverageFile,
    agent: AgentId,
    cluster: ClusterId,
    epoch: Epoch,
    /// Absent until the first list.
    coverage: Option<Coverage>,
}

impl Gaps {
    pub(crate) fn read(
        file: CoverageFile,
        agent: AgentId,
        cluster: ClusterId,
        epoch: Epoch,
    ) -> Result<Gaps, CoverageError> {
        let coverage = file.read(&cluster)?;
        Ok(Gaps { file, agent, cluster, epoch, coverage })
    }

    /// The first list of this process was asked for at `at`. Between the end of the process before and then nobody
    /// watched.
    pub(crate) async fn begin(&mut self, at: Timestamp) -> Result<Option<AgentGap>, CoverageError> {
        match self.coverage.as_ref().map(|coverage| coverage.seen_until) {
            Some(seen_until) => self.open(seen_until, at, "the agent was not running").await.map(Some),
            None => {
                self.coverage = Some(Coverage::new(self.cluster.clone(), at));
                self.write().await?;
                Ok(None)
            }
        }
    }

    /// Something may have been missed between `from` and `until`.
    pub(crate) async fn open(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        reason: &str,
    ) -> Result<AgentGap, CoverageError> {
        // A clock that was set back makes no gap that ends before it begins.
        let from = from.min(until);
        let gap = OpenGap {
            epoch: self.epoch.began_at(),
            sequence: self.epoch.next_gap(),
            from,
            until,
            reason: reason.to_owned(),
        };
        let coverage = self.coverage.get_or_insert_with(|| Coverage::new(self.cluster.clone(), until));
        if coverage.open_gaps.len() == OPEN_GAPS_MAX {
            coverage.open_gaps.remove(0);
        }
        coverage.open_gaps.push(gap.clone());
        self.write().await?;
        Ok(self.event(&gap, false))
    }

    /// The gaps that an inventory observed at `observed_at` has recovered. They stay open until [`Gaps::close`].
    pub(crate) fn recovered(&self, observed_at: Timestamp) -> Vec<AgentGap> {
        let open = self.coverage.iter().flat_map(|coverage| &coverage.open_gaps);
        open.filter(|gap| gap.until <= observed_at).map(|gap| self.event(gap, true)).collect()
    }

    /// What [`Gaps::recovered`] returned for this time has been said.
    pub(crate) async fn close(&mut self, observed_at: Timestamp) -> Result<(), CoverageError> {
        let Some(coverage) = &mut self.coverage else { return Ok(()) };
        let before = coverage.open_gaps.len();
        coverage.open_gaps.retain(|gap| gap.until > observed_at);
        match coverage.open_gaps.len() == before {
            true => Ok(()),
            false => self.write().await,
        }
    }

    /// Everything up to `at` has been seen and said.
    pub(crate) async fn seen_until(&mut self, at: Timestamp) -> Result<(), CoverageError> {
        let Some(coverage) = self.coverage.as_mut().filter(|coverage| coverage.seen_until < at) else {
            return Ok(());
        };
        coverage.seen_until = at;
        self.write().await
    }

    /// What the heartbeat states.
    pub(crate) fn covered(&self) -> Vec<CoverageScope> {
        let scope = |coverage: &Coverage| CoverageScope {
            scope: coverage.cluster.to_string(),
            since: coverage.since,
        };
        self.coverage.iter().map(scope).collect()
    }

    fn event(&self, gap: &OpenGap, recovered: bool) -> AgentGap {
        AgentGap {
            agent: self.agent.clone(),
            epoch: gap.epoch,
            sequence: gap.sequence,
            scope: self.cluster.to_string(),
            reason: gap.reason.clone(),
            from: gap.from,
            until: gap.until,
            recovered,
        }
    }

    async fn write(&self) -> Result<(), CoverageError> {
        let (file, coverage) = (self.file.clone(), self.coverage.clone());
        let Some(coverage) = coverage else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || file.write(&coverage)).await;
        // The writer is neither cancelled nor does it panic; if it were, the write has failed.
        written.unwrap_or(Err(CoverageError::Interrupted))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn gaps(folder: &std::path::Path, epoch: i64) -> Gaps {
        let file = CoverageFile::in_folder(folder);
        Gaps::read(file, "cluster-1".parse().unwrap(), "uid".parse().unwrap(), Epoch::begin(at(epoch)))
            .unwrap()
    }

    #[tokio::test]
    async fn the_first_process_has_no_gap_and_the_next_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = gaps(folder.path(), 100);
        assert!(first.covered().is_empty());
        assert_eq!(first.begin(at(101)).await.unwrap(), None);
        first.seen_until(at(150)).await.unwrap();

        let mut second = gaps(folder.path(), 200);
        let gap = second.begin(at(201)).await.unwrap().unwrap();
        assert_eq!((gap.from, gap.until, gap.recovered), (at(150), at(201), false));
        assert_eq!(second.covered()[0].since, at(101));
    }

    #[tokio::test]
    async fn a_gap_is_recovered_by_an_inventory_after_it_and_by_none_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut gaps = gaps(folder.path(), 100);
        gaps.begin(at(100)).await.unwrap();
        let opened = gaps.open(at(110), at(120), "410").await.unwrap();
        assert!(gaps.recovered(at(119)).is_empty());
        let recovered = gaps.recovered(at(120));
        assert_eq!(recovered, [AgentGap { recovered: true, ..opened }]);
        gaps.close(at(120)).await.unwrap();
        assert!(gaps.recovered(at(120)).is_empty());
    }

    #[tokio::test]
    async fn a_gap_that_its_process_did_not_recover_is_recovered_by_the_next_under_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = gaps(folder.path(), 100);
        first.begin(at(100)).await.unwrap();
        let opened = first.open(at(110), at(120), "410").await.unwrap();

        let mut second = gaps(folder.path(), 200);
        second.begin(at(200)).await.unwrap();
        let recovered = second.recovered(at(201));
        assert_eq!(recovered.len(), 2);
        assert_eq!(recovered[0], AgentGap { recovered: true, ..opened });
    }
}
