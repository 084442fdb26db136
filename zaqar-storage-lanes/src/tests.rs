//! What callers of lanes may rely on.

use std::sync::{Arc, Mutex};

use crate::{Gate, LaneLimits, LaneStep, Lanes, Party, Weight};
use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use zaqar_core::{Effect, Error, ProjectId, Result};

/// Keeps what it was given; each batch waits until it is let go.
#[derive(Debug)]
struct Recorder {
    batches: Mutex<Vec<(u8, Vec<u32>)>>,
    /// One permit a batch.
    go: Semaphore,
}

impl Recorder {
    fn new(batches: usize) -> Arc<Self> {
        Arc::new(Self { batches: Mutex::default(), go: Semaphore::new(batches) })
    }

    fn batches(&self) -> Vec<(u8, Vec<u32>)> {
        self.batches.lock().unwrap().clone()
    }
}

const PANIC: u32 = 666;
const SILENT: u32 = 667;

#[derive(Debug, Clone)]
struct Step(Arc<Recorder>);

#[async_trait]
impl LaneStep for Step {
    type Key = u8;
    type Operation = u32;
    type Answer = u32;
    const OPERATION: &'static str = "test";

    async fn run(&self, key: &u8, operations: Vec<u32>) -> Vec<Result<u32>> {
        self.0.go.acquire().await.unwrap().forget();
        assert!(!operations.contains(&PANIC), "planted");
        self.0.batches.lock().unwrap().push((*key, operations.clone()));
        operations.into_iter().filter(|o| *o != SILENT).map(|o| Ok(o + 1)).collect()
    }
}

fn lanes(recorder: &Arc<Recorder>, limits: LaneLimits) -> Arc<Lanes<Step>> {
    Arc::new(Lanes::new(Step(Arc::clone(recorder)), None, limits))
}

fn party() -> Party {
    Some(ProjectId::new("p").unwrap())
}

/// Hands operations in, in their order, without waiting for their answers.
async fn hand_in(
    lanes: &Arc<Lanes<Step>>,
    key: u8,
    operations: impl IntoIterator<Item = u32>,
) -> Vec<tokio::task::JoinHandle<Result<u32>>> {
    let mut tasks = Vec::new();
    for operation in operations {
        let lanes = Arc::clone(lanes);
        let (entered, has_entered) = oneshot::channel();
        tasks.push(tokio::spawn(async move {
            let party = party();
            let mut submit = Box::pin(lanes.submit(&party, &key, Weight::new(1, 1), operation));
            let first = tokio::select! {
                biased;
                answer = &mut submit => Some(answer),
                () = std::future::ready(()) => None,
            };
            entered.send(()).unwrap();
            match first {
                Some(answer) => answer,
                None => submit.await,
            }
        }));
        has_entered.await.unwrap();
    }
    tasks
}

#[tokio::test]
async fn what_gathers_while_a_step_runs_is_the_next_batch() {
    let recorder = Recorder::new(0);
    let lanes = lanes(&recorder, LaneLimits::new());
    let mut tasks = hand_in(&lanes, 1, [0]).await;
    // The lane's task takes the first by itself; only then may others come.
    tokio::task::yield_now().await;
    tasks.extend(hand_in(&lanes, 1, 1..10).await);
    recorder.go.add_permits(10);
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap() as usize, number + 1);
    }
    assert_eq!(recorder.batches(), [(1, vec![0]), (1, (1..10).collect())]);
}

#[tokio::test]
async fn an_operation_whose_caller_left_is_not_begun() {
    let recorder = Recorder::new(0);
    let lanes = lanes(&recorder, LaneLimits::new());
    let first = hand_in(&lanes, 1, [0]).await;
    tokio::task::yield_now().await;
    let others = hand_in(&lanes, 1, [1, 2, 3]).await;
    others[1].abort();
    while !others[1].is_finished() {
        tokio::task::yield_now().await;
    }
    recorder.go.add_permits(10);
    for task in first {
        task.await.unwrap().unwrap();
    }
    lanes.close().await;
    assert_eq!(recorder.batches(), [(1, vec![0]), (1, vec![1, 3])]);
}

#[tokio::test]
async fn a_step_that_panics_leaves_nobody_waiting_and_the_lane_opens_again() {
    let recorder = Recorder::new(0);
    let lanes = lanes(&recorder, LaneLimits::new());
    let begun = hand_in(&lanes, 1, [PANIC]).await;
    tokio::task::yield_now().await;
    let waiting = hand_in(&lanes, 1, [1]).await;
    recorder.go.add_permits(10);
    for task in begun {
        assert_eq!(task.await.unwrap().unwrap_err().effect(), Effect::Unknown);
    }
    for task in waiting {
        assert_eq!(task.await.unwrap().unwrap_err().effect(), Effect::None);
    }
    assert_eq!(lanes.submit(&party(), &1, Weight::default(), 5).await.unwrap(), 6);
}

#[tokio::test]
async fn an_answer_that_the_step_forgot_is_told_to_be_unknown() {
    let recorder = Recorder::new(1);
    let lanes = lanes(&recorder, LaneLimits::new());
    let forgotten = lanes.submit(&party(), &1, Weight::default(), SILENT).await.unwrap_err();
    assert_eq!(forgotten.effect(), Effect::Unknown);
}

#[test]
fn a_runtime_that_ends_answers_whoever_still_waits() {
    let recorder = Recorder::new(0);
    let lanes = lanes(&recorder, LaneLimits::new());
    let lane_runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut begun = Box::pin(async {
        let party = party();
        lanes.submit(&party, &1, Weight::default(), 1).await
    });
    let mut waiting = Box::pin(async {
        let party = party();
        lanes.submit(&party, &1, Weight::default(), 2).await
    });
    lane_runtime.block_on(async {
        for submit in [&mut begun as &mut (dyn Future<Output = _> + Unpin), &mut waiting] {
            tokio::select! {
                biased;
                _ = submit => panic!("nothing was let go"),
                () = tokio::task::yield_now() => {}
            }
        }
    });
    drop(lane_runtime);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(other.block_on(begun).unwrap_err().effect(), Effect::Unknown);
    assert_eq!(other.block_on(waiting).unwrap_err().effect(), Effect::None);
}

#[tokio::test]
async fn a_full_lane_pushes_back_and_closing_finishes_what_was_accepted() {
    let recorder = Recorder::new(0);
    let lanes = lanes(&recorder, LaneLimits::new().waiting_max(2));
    let first = hand_in(&lanes, 1, [0]).await;
    tokio::task::yield_now().await;
    let waiting = hand_in(&lanes, 1, [1, 2]).await;
    let refused = lanes.submit(&party(), &2, Weight::default(), 3).await;
    assert!(matches!(refused, Err(Error::Overloaded)), "{refused:?}");
    recorder.go.add_permits(10);
    lanes.close().await;
    for task in first.into_iter().chain(waiting) {
        assert!(task.is_finished() || task.await.unwrap().is_ok());
    }
    let late = lanes.submit(&party(), &1, Weight::default(), 4).await.unwrap_err();
    assert_eq!(late.effect(), Effect::None);
}

#[tokio::test]
async fn lanes_share_the_places_of_a_gate() {
    let recorder = Recorder::new(100);
    let gate = Gate::new(2, 10);
    let lanes = Lanes::new(Step(Arc::clone(&recorder)), Some(Arc::clone(&gate)), LaneLimits::new());
    let lanes = Arc::new(lanes);
    let mut tasks = JoinSet::new();
    for key in 0..20 {
        let lanes = Arc::clone(&lanes);
        tasks.spawn(async move { lanes.submit(&party(), &key, Weight::default(), 1).await });
    }
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), 2);
    }
    lanes.close().await;
    gate.close().await;
    assert_eq!(recorder.batches().len(), 20);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whoever stays is answered once, with its own answer; each lane keeps its order; nothing
        /// is done twice, and nothing that was refused is done at all.
        #[test]
        fn every_operation_is_answered_once_and_each_lane_keeps_its_order(
            callers in prop::collection::vec((0_u8..4, 1_usize..40, any::<bool>()), 1..120),
            rows_max in 1_usize..60,
            waiting_max in 1_usize..200,
            threads in 1_usize..3,
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads).build().unwrap();
            runtime.block_on(async {
                let recorder = Recorder::new(10_000);
                let limits = LaneLimits::new()
                    .waiting_max(waiting_max)
                    .batch_max(Weight::new(rows_max, usize::MAX));
                let lanes = lanes(&recorder, limits);
                let mut waiting = Vec::new();
                for (number, (key, rows, leaves)) in callers.iter().copied().enumerate() {
                    let (lanes, number) = (Arc::clone(&lanes), number as u32);
                    let mut submit = Box::pin(async move {
                        lanes.submit(&party(), &key, Weight::new(rows, 0), number).await
                    });
                    // Polled once here, so that the order of handing in is known.
                    let answer = tokio::select! {
                        biased;
                        answer = &mut submit => Some(answer),
                        () = std::future::ready(()) => None,
                    };
                    if !leaves {
                        waiting.push((number, answer, submit));
                    }
                }
                let (mut done, mut refused) = (Vec::new(), Vec::new());
                for (number, answer, submit) in waiting {
                    let answer = match answer { Some(answer) => answer, None => submit.await };
                    match answer {
                        Ok(answer) => { assert_eq!(answer, number + 1); done.push(number); }
                        Err(Error::Overloaded) => refused.push(number),
                        Err(error) => panic!("{error}"),
                    }
                }
                lanes.close().await;
                let mut seen = Vec::new();
                for lane in 0..4_u8 {
                    let order: Vec<u32> = recorder.batches().into_iter()
                        .filter(|(key, _)| *key == lane).flat_map(|(_, batch)| batch).collect();
                    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
                    seen.extend(order);
                }
                let distinct: std::collections::HashSet<u32> = seen.iter().copied().collect();
                assert_eq!(distinct.len(), seen.len(), "something was done twice");
                assert!(done.iter().all(|number| distinct.contains(number)));
                assert!(refused.iter().all(|number| !distinct.contains(number)));
            });
        }
    }
}
