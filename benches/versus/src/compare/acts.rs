//! What is done in each row.

use anyhow::{Result, ensure};

use super::Amounts;
use super::rows::Row;
use super::stage::{Act, Scene, Stage, Turn};
use crate::engines::{Depth, Opening, Order, Store};
use crate::measure::cache;
use crate::measure::child::Child;
use crate::memory::Limit;
use crate::sharing::process::{Process, Task};
use crate::workload::{Digest, KeyList, Keys, Kind, Values};

const BATCH: usize = 1000;
const RANGE: usize = 10;
const WRITERS: usize = 8;

pub fn perform_all(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    random(stage, amounts)?;
    sorted(stage, amounts)?;
    numbers(stage, amounts)?;
    prefixes(stage, amounts)?;
    structured(stage, amounts)?;
    large(stage, amounts)
}

fn load(store: &dyn Store, keys: Keys<'_>, values: Values, order: Order) -> Result<Digest> {
    store.load(keys, values, order).map(|()| Digest::default())
}

/// Loads an empty database, with the clock on.
fn load_anew(turn: &mut Turn<'_>, row: Row, kind: Kind, keys: Keys<'_>, order: Order) -> Result<()> {
    turn.contender.start_anew()?;
    turn.time(row, keys.len(), |store| load(store, keys, kind.values(0), order))
}

/// Looks up `keys`, with the clock on, after some others with the clock off: the engine before has left nothing of
/// this one's tree in the processor's caches.
fn get(turn: &mut Turn<'_>, row: Row, keys: Keys<'_>) -> Result<()> {
    let (warm_up, keys) = (keys.range(0..keys.len() / 10), keys.range(keys.len() / 10..keys.len()));
    turn.contender.store()?.get_each(warm_up)?;
    turn.time(row, keys.len(), |store| store.get_each(keys))
}

/// The keys that a round looks up.
fn samples(keys: &KeyList, amounts: Amounts) -> Vec<KeyList> {
    (0..amounts.read_rounds).map(|round| keys.sample(amounts.gets, round as u64)).collect()
}

fn random(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    let existing = Kind::Random.keys(0..amounts.entries);
    let half = existing.shuffled();
    let half = half.all().range(0..half.all().len() / 2);
    let samples = samples(&existing, amounts);
    let loading =
        Scene::new(&[Row::RandomLoad, Row::RandomSize, Row::Removals], amounts.load_rounds + 1, |turn| {
            load_anew(turn, Row::RandomLoad, Kind::Random, existing.all(), Order::Random)?;
            turn.record_size(Row::RandomSize)?;
            if turn.is_last_round {
                return turn.compare_contents();
            }
            turn.time(Row::Removals, half.len(), |store| store.remove_all(half).map(|()| Digest::default()))?;
            turn.compare_contents()
        });
    // Before the load, of which the later scenes have their databases.
    let putting = Scene::new(&[Row::RandomPuts], amounts.load_rounds, |turn| {
        turn.contender.start_anew()?;
        let values = Kind::Random.values(0);
        turn.time(Row::RandomPuts, existing.all().len(), |store| {
            store.put_all(existing.all(), values).map(|()| Digest::default())
        })?;
        turn.compare_contents()
    });
    let mut scenes = vec![putting, loading.preparing()];
    scenes.extend(reads(amounts, &samples));
    scenes.extend(processes(amounts));
    scenes.extend(commits(amounts));
    stage.perform(Act { opening: Opening::default(), scenes })
}

/// Rows that read, in this process.
fn reads(amounts: Amounts, samples: &[KeyList]) -> Vec<Scene<'_>> {
    let entries = amounts.entries as usize;
    let scan = move |turn: &mut Turn<'_>, row| {
        turn.time(row, entries, |store| store.scan(&[], usize::MAX, Depth::Ends))
    };
    let rounds = amounts.read_rounds;
    vec![
        Scene::new(&[Row::FirstScan], amounts.write_rounds, move |turn| {
            turn.contender.close();
            scan(turn, Row::FirstScan)
        }),
        Scene::new(&[Row::Scan], amounts.write_rounds, move |turn| scan(turn, Row::Scan)),
        Scene::new(&[Row::ScanBack], amounts.write_rounds, move |turn| {
            turn.time(Row::ScanBack, entries, |store| store.scan_back())
        }),
        Scene::new(&[Row::Get], rounds, |turn| get(turn, Row::Get, samples[turn.round].all())),
        Scene::new(&[Row::GetTwoThreads], rounds, |turn| two_threads(turn, samples[turn.round].all())),
        Scene::new(&[Row::GetMany], rounds, |turn| {
            let keys = samples[turn.round].all();
            turn.time(Row::GetMany, keys.len(), |store| store.get_in_groups(keys))
        }),
        Scene::new(&[Row::Range], rounds, |turn| {
            let keys = samples[turn.round].all();
            let keys = keys.range(0..keys.len() / 4);
            turn.time(Row::Range, keys.len(), |store| store.ranges(keys, RANGE))
        }),
        Scene::new(&[Row::BeginAndEnd], rounds, move |turn| {
            turn.time(Row::BeginAndEnd, amounts.begins as usize, |store| store.begin_and_end(amounts.begins))
        }),
    ]
}

fn two_threads(turn: &mut Turn<'_>, keys: Keys<'_>) -> Result<()> {
    let (one, other) = (keys.range(0..keys.len() / 2), keys.range(keys.len() / 2..keys.len()));
    turn.time(Row::GetTwoThreads, keys.len(), |store| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| store.get_each(other));
            let one = store.get_each(one)?;
            Ok(one.and(other.join().expect("the thread panicked")?))
        })
    })
}

/// Rows that need processes of their own.
fn processes<'a>(amounts: Amounts) -> Vec<Scene<'a>> {
    let entries = amounts.entries;
    vec![
        Scene::new(&[Row::GetTwoProcesses], amounts.write_rounds, move |turn| two_processes(turn, amounts))
            .with(|engine| engine.is_shared_by_processes()),
        Scene::new(&[Row::ColdOpen], amounts.read_rounds, move |turn| {
            turn.contender.close();
            let (engine, folder) = (turn.contender.engine, turn.contender.folder.clone());
            cache::evict_all(&folder)?;
            let taken = Child::new("open-and-get", engine, &folder, entries).seed(turn.round as u64).run()?;
            turn.record(Row::ColdOpen, taken.nanoseconds as f64);
            turn.agree(Row::ColdOpen.name(), taken.digest);
            Ok(())
        }),
        Scene::new(&[Row::ShortMemoryGet], amounts.load_rounds, move |turn| short_memory(turn, amounts)),
    ]
}

fn two_processes(turn: &mut Turn<'_>, amounts: Amounts) -> Result<()> {
    turn.contender.close();
    let (engine, folder) = (turn.contender.engine, &turn.contender.folder);
    let mut pair = [(); 2].map(|()| Process::start(engine, folder, amounts.entries));
    let mut digest = Digest::default();
    let mut nanoseconds = 0;
    let count = amounts.gets / 2;
    for process in &mut pair {
        let process = process.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        process.ask(Task::Scan)?;
    }
    for (number, process) in pair.iter_mut().flatten().enumerate() {
        process.tell(Task::CountedLookups { count, seed: (2 * turn.round + number) as u64 })?;
    }
    for process in pair.into_iter().flatten() {
        let mut process = process;
        let answer = process.answer()?;
        nanoseconds = nanoseconds.max(answer.nanoseconds);
        digest = digest.and(answer.digest);
        process.end()?;
    }
    ensure!(digest.count == 2 * count as u64, "{} of {} keys are there", digest.count, 2 * count);
    turn.record(Row::GetTwoProcesses, nanoseconds as f64 / (2 * count) as f64);
    turn.agree(Row::GetTwoProcesses.name(), digest);
    Ok(())
}

/// Lookups in a process that gets a third of the data's size as memory.
fn short_memory(turn: &mut Turn<'_>, amounts: Amounts) -> Result<()> {
    const LEAST: u64 = 24 << 20;
    let bytes = amounts.entries * (24 + 150) / 3;
    if bytes < LEAST {
        turn.note(format!("{}: not measured: too few entries", Row::ShortMemoryGet.name()));
        return Ok(());
    }
    turn.contender.close();
    let limit = match Limit::new(bytes) {
        Ok(limit) => limit,
        Err(error) => {
            turn.note(format!("{}: not measured: {error:#}", Row::ShortMemoryGet.name()));
            return Ok(());
        }
    };
    let (engine, folder) = (turn.contender.engine, turn.contender.folder.clone());
    cache::evict_all(&folder)?;
    let child = Child::new("gets", engine, &folder, amounts.entries).seed(turn.round as u64);
    match child.count(amounts.short_memory_gets).limited(limit.folder(), bytes).run() {
        Ok(taken) => {
            turn.record(Row::ShortMemoryGet, taken.nanoseconds as f64 / amounts.short_memory_gets as f64);
            turn.agree(Row::ShortMemoryGet.name(), taken.digest);
        }
        // So little memory that the system has ended it, for example.
        Err(error) => turn.note(format!("{}: {}: {error:#}", Row::ShortMemoryGet.name(), engine.name())),
    }
    Ok(())
}

/// Each round puts keys in that no other has put in.
fn fresh(row: u64, round: usize, count: usize) -> KeyList {
    let first = (row + 1) * 1_000_000_000 + (round * count) as u64;
    Kind::Random.keys(first..first + count as u64)
}

fn commits<'a>(amounts: Amounts) -> Vec<Scene<'a>> {
    let Amounts { commits, batches, lazy_commits, write_rounds, .. } = amounts;
    let values = Kind::Random.values(1);
    let done = |result: Result<()>| result.map(|()| Digest::default());
    vec![
        // Rows before have taken the databases out of the page cache. Who does not read far ahead would wait for each
        // leaf in the first rounds, which is another row's business.
        Scene::new(&[], 1, |turn| turn.compare_contents()).preparing(),
        Scene::new(&[Row::SingleCommits], write_rounds, move |turn| {
            let keys = fresh(0, turn.round, commits);
            turn.time(Row::SingleCommits, commits, |store| done(store.put_each(keys.all(), values)))
        }),
        Scene::new(&[Row::ThreadedCommits], write_rounds, move |turn| {
            let keys = fresh(1, turn.round, commits);
            turn.time(Row::ThreadedCommits, commits, |store| {
                std::thread::scope(|scope| {
                    let parts = keys.all().chunks(commits.div_ceil(WRITERS));
                    let running: Vec<_> =
                        parts.map(|part| scope.spawn(move || store.put_each(part, values))).collect();
                    let mut results =
                        running.into_iter().map(|thread| thread.join().expect("the thread panicked"));
                    results.try_for_each(|result| result).map(|()| Digest::default())
                })
            })
        }),
        Scene::new(&[Row::Batches], write_rounds, move |turn| {
            let keys = fresh(2, turn.round, batches * BATCH);
            turn.time(Row::Batches, batches, |store| {
                let mut batches = keys.all().chunks(BATCH);
                done(batches.try_for_each(|batch| store.load(batch, values, Order::Random)))
            })
        }),
        Scene::new(&[Row::LazyCommits], write_rounds, move |turn| {
            let keys = fresh(3, turn.round, lazy_commits);
            turn.contender.open_lazily()?;
            turn.time(Row::LazyCommits, lazy_commits, |store| done(store.put_each(keys.all(), values)))?;
            turn.contender.close();
            turn.compare_contents()
        }),
    ]
}

fn sorted(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    if !stage.wants(&[Row::SortedLoad]) {
        return Ok(());
    }
    let keys = Kind::Random.keys(0..amounts.entries).sorted();
    let scenes = vec![Scene::new(&[Row::SortedLoad], amounts.load_rounds, |turn| {
        load_anew(turn, Row::SortedLoad, Kind::Random, keys.all(), Order::Sorted)?;
        turn.compare_contents()
    })];
    stage.perform(Act { opening: Opening::default(), scenes })
}

fn numbers(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    let keys = Kind::Number.keys(0..amounts.entries);
    let samples = samples(&keys, amounts);
    let entries = amounts.entries as usize;
    let scenes = vec![
        Scene::new(&[Row::NumberLoad], amounts.load_rounds, |turn| {
            load_anew(turn, Row::NumberLoad, Kind::Number, keys.all(), Order::Random)?;
            turn.compare_contents()
        })
        .preparing(),
        Scene::new(&[Row::NumberGet], amounts.read_rounds, |turn| {
            get(turn, Row::NumberGet, samples[turn.round].all())
        }),
        Scene::new(&[Row::NumberScan], amounts.write_rounds, |turn| {
            turn.time(Row::NumberScan, entries, |store| store.scan(&[], usize::MAX, Depth::Ends))
        }),
    ];
    stage.perform(Act { opening: Opening { has_numbers: true, ..Opening::default() }, scenes })
}

fn prefixes(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    if !stage.wants(&[Row::PrefixLoad, Row::PrefixGet]) {
        return Ok(());
    }
    let keys = Kind::Prefixed.keys(0..amounts.entries);
    let samples = samples(&keys, amounts);
    let scenes = vec![
        Scene::new(&[Row::PrefixLoad], amounts.load_rounds, |turn| {
            load_anew(turn, Row::PrefixLoad, Kind::Prefixed, keys.all(), Order::Random)?;
            turn.compare_contents()
        })
        .preparing(),
        Scene::new(&[Row::PrefixGet], amounts.read_rounds, |turn| {
            get(turn, Row::PrefixGet, samples[turn.round].all())
        }),
    ];
    stage.perform(Act { opening: Opening::default(), scenes })
}

/// Sizes do not depend on the moment: one round.
fn structured(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    if !stage.wants(&[Row::StructuredSize]) {
        return Ok(());
    }
    let keys = Kind::Structured.keys(0..amounts.entries).shuffled();
    let scenes = vec![Scene::new(&[Row::StructuredSize], 1, |turn| {
        turn.contender.start_anew()?;
        turn.contender.store()?.load(keys.all(), Kind::Structured.values(0), Order::Random)?;
        turn.compare_contents()?;
        turn.record_size(Row::StructuredSize)
    })];
    stage.perform(Act { opening: Opening::default(), scenes })
}

fn large(stage: &mut Stage, amounts: Amounts) -> Result<()> {
    const REPETITIONS: usize = 20;
    let keys = Kind::Large.keys(0..amounts.large_values);
    let many = keys.sample(amounts.gets / 10, 0);
    let count = keys.all().len();
    let put = |turn: &mut Turn<'_>, row, version| {
        turn.time(row, count, |store| {
            store.put_each(keys.all(), Kind::Large.values(version)).map(|()| Digest::default())
        })
    };
    let scenes = vec![
        Scene::new(&[Row::LargeWrite], amounts.load_rounds, |turn| {
            turn.contender.start_anew()?;
            put(turn, Row::LargeWrite, 0)
        })
        .preparing(),
        Scene::new(&[Row::LargeGet], amounts.read_rounds, |turn| {
            turn.time(Row::LargeGet, many.all().len(), |store| store.get_each(many.all()))
        }),
        Scene::new(&[Row::LargeRead], amounts.read_rounds, |turn| {
            turn.time(Row::LargeRead, REPETITIONS * count, |store| {
                let (mut read, mut repetitions) = (Digest::default(), 0);
                store.read_again(keys.all(), &mut |digest| {
                    read = digest;
                    repetitions += 1;
                    Ok(repetitions < REPETITIONS)
                })?;
                Ok(read)
            })
        }),
        Scene::new(&[Row::LargeOverwrite], amounts.write_rounds, |turn| {
            put(turn, Row::LargeOverwrite, 1 + turn.round as u64)?;
            turn.compare_contents()
        }),
    ];
    stage.perform(Act { opening: Opening { has_large_values: true, ..Opening::default() }, scenes })
}
