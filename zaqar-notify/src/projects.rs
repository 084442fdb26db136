//! What keeps one project from using up the workers: so many of its subscriptions at a time. What
//! comes beyond it goes back to the outbox for a while, so that the store hands out others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zaqar_core::{ProjectId, Ttl};

use crate::limits::{HostLimits, Hosts, Turn};

/// Projects whose crowds are remembered at most.
const PROJECTS_MAX: usize = 10_000;
/// A project whose subscriptions crowd is given back so many of them in a second, roughly: the more
/// there are, the longer each stays away. So a crowd costs the store the same whatever its size.
const PUT_OFF_PER_S: u32 = 50;
/// The longest that one stays away.
const PUT_OFF_S_MAX: u32 = 30;

/// The projects that are being delivered for.
#[derive(Debug)]
pub(crate) struct Projects {
    turns: Arc<Hosts>,
    crowds: Mutex<HashMap<ProjectId, u32>>,
}

impl Projects {
    /// With so many subscriptions of one project at a time.
    pub(crate) fn new(at_a_time: u32) -> Self {
        // Nothing is ever reported as timed out here, so there are no pauses.
        let limits = HostLimits { at_a_time, timeouts_max: u32::MAX, pause: Duration::ZERO };
        Self { turns: Hosts::new(limits), crowds: Mutex::default() }
    }

    fn crowds(&self) -> MutexGuard<'_, HashMap<ProjectId, u32>> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more subscription of a project be delivered to, or says how long it is to be left
    /// alone.
    pub(crate) async fn enter(&self, project: &ProjectId) -> Result<Turn, Ttl> {
        let turn = self.turns.turn(project.as_str()).await;
        let mut crowds = self.crowds();
        match turn {
            Ok(turn) if turn.is_alone() => {
                crowds.remove(project);
                Ok(turn)
            }
            Ok(turn) => {
                if let Some(crowd) = crowds.get_mut(project) {
                    *crowd = crowd.saturating_sub(1);
                }
                Ok(turn)
            }
            Err(_full) => {
                if crowds.len() >= PROJECTS_MAX && !crowds.contains_key(project) {
                    crowds.clear();
                }
                let crowd = crowds.entry(project.clone()).or_default();
                let away = *crowd / PUT_OFF_PER_S + 1;
                *crowd = crowd.saturating_add(1).min(PUT_OFF_PER_S * PUT_OFF_S_MAX - 1);
                Err(Ttl::from_secs_clamped(u64::from(away)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_at_its_limit_holds_back_no_other_and_goes_on_when_one_ends() {
        let projects = Projects::new(2);
        let (crowd, other) = (project("crowd"), project("other"));
        let (first, _second) =
            (projects.enter(&crowd).await.unwrap(), projects.enter(&crowd).await.unwrap());
        assert_eq!(projects.enter(&crowd).await.unwrap_err().as_secs(), 1);
        assert!(projects.enter(&other).await.is_ok());
        drop(first);
        assert!(projects.enter(&crowd).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_larger_the_crowd_the_longer_each_stays_away_up_to_a_bound() {
        let (projects, crowd) = (Projects::new(1), project("crowd"));
        let held = projects.enter(&crowd).await.unwrap();
        let mut away = Vec::new();
        for _ in 0..2_000 {
            away.push(projects.enter(&crowd).await.unwrap_err().as_secs());
        }
        assert_eq!((away[0], away[49], away[50], away[1_999]), (1, 1, 2, 30));
        drop(held);
        let held = projects.enter(&crowd).await.unwrap();
        assert!(projects.crowds().is_empty(), "who is alone is no crowd");
        assert_eq!(projects.enter(&crowd).await.unwrap_err().as_secs(), 1);
        drop(held);
    }
}
