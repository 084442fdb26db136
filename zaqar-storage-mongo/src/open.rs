//! Opening a database: the client, the checks, collections and indexes, the store's record.

use std::sync::Arc;

use mongodb::Client;
use mongodb::bson::doc;
use zaqar_core::{DriverInfo, OpenError};
use zaqar_storage_lanes::{Gate, LaneLimits, Lanes};

use crate::abandoned::Abandoned;
use crate::barrier::Barrier;
use crate::config::{MongoConfig, Unsafe};
use crate::driver::{MongoControl, MongoData};
use crate::error::{NativeResult, open_error};
use crate::posts::PostStep;
use crate::reader::Bounds;
use crate::record::Record;
use crate::removals::RemovalStep;
use crate::safety::{Deployment, inspect};
use crate::store::{Handle, Store};
use crate::takes::TakeStep;
use crate::{MongoDrivers, OpenOptions, schema};

/// Operations that work on the store at a time; each needs a connection or a few.
const PLACES: usize = 32;
/// Operations of one project that may wait for a place.
const WAITING_MAX: usize = 4_096;

/// Opens the database at `uri`.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<MongoDrivers, OpenError> {
    let config = MongoConfig::parse(uri, options.unreliable).await?;
    refuse(config.unsafe_setting.as_ref(), options.unreliable)?;
    let client = Client::with_options(config.client).map_err(|error| open_error(&error))?;
    let admin = client.database("admin");
    let Deployment { sharded, alone, weakness, .. } =
        inspect(&admin).await.map_err(|error| open_error(&error))?;
    refuse(weakness.as_ref(), options.unreliable)?;
    let database = client.database(&config.database);
    schema::ensure(&database, sharded).await?;
    let version = version(&admin).await.map_err(|error| open_error(&error))?;
    let barrier = Lanes::new(Barrier::new(database.clone(), alone), None, LaneLimits::new());
    let store = Arc::new(Store {
        client,
        database,
        clock: options.clock,
        write_concern: config.write_concern,
        application: config.application,
        sharded,
        barrier,
        bounds: Bounds::default(),
        abandoned: Abandoned::default(),
    });
    let record = Record::open(&store).await?;
    let gate = Gate::new(PLACES, WAITING_MAX);
    let lanes = || (Some(Arc::clone(&gate)), LaneLimits::new());
    let ((posts, limits), (takes, _), (removals, _)) = (lanes(), lanes(), lanes());
    let handle = Arc::new(Handle {
        posts: Lanes::new(PostStep(Arc::clone(&store)), posts, limits),
        takes: Lanes::new(TakeStep(Arc::clone(&store)), takes, limits),
        removals: Lanes::new(RemovalStep(Arc::clone(&store)), removals, limits),
        store,
        gate,
        record,
        info: DriverInfo {
            name: "mongodb",
            version: env!("CARGO_PKG_VERSION"),
            backend: format!("MongoDB {version}"),
            location: config.location,
        },
        weakness: config.unsafe_setting.map(|found| found.warning()),
    });
    Ok(MongoDrivers {
        control: Arc::new(MongoControl { handle: Arc::clone(&handle) }),
        data: Arc::new(MongoData { handle }),
    })
}

/// Refuses what may lose messages, unless the operator wants it all the same.
fn refuse(found: Option<&Unsafe>, unreliable: bool) -> Result<(), OpenError> {
    match found {
        Some(found) if unreliable => {
            tracing::warn!("{}", found.warning());
            Ok(())
        }
        Some(found) => Err(found.clone().into()),
        None => Ok(()),
    }
}

async fn version(admin: &mongodb::Database) -> NativeResult<String> {
    let answer = admin.run_command(doc! { "buildInfo": 1 }).await?;
    Ok(answer.get_str("version").unwrap_or("of unknown version").to_owned())
}
