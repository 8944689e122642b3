//! One client process of a run: connects, and carries out one order after the other.

mod field;
mod hit;
mod rush;
mod storm;
mod sweep;
mod thrash;

use std::time::Duration;

use anyhow::{Context, Result};
use bo_client::Client;

use crate::orders::{Answer, Order, Plan};
use crate::station::{self, Meter};
use crate::worker::field::Field;
use crate::worker::rush::Rush;

/// Serves orders until there are no more.
///
/// # Errors
///
/// What an order failed with; the parent was told.
pub(crate) fn serve() -> Result<()> {
    let mut worker = Worker::default();
    station::serve(|order, meter| worker.act(order, meter))
}

/// What this worker has by now.
#[derive(Default)]
struct Worker {
    connected: Option<(Plan, Client)>,
    rush: Option<Rush>,
    field: Option<Box<Field>>,
}

impl Worker {
    fn act(&mut self, order: Order, meter: &Meter) -> Result<Answer> {
        match order {
            Order::Connect(plan) => self.connect(plan),
            Order::Hit(hit) => {
                let (plan, client) = self.connected()?;
                hit::measure(client, plan, hit).map(Answer::Hit)
            }
            Order::Sweep { bytes } => {
                let (plan, client) = self.connected()?;
                sweep::run(client, plan, bytes, meter).map(Answer::Swept)
            }
            Order::PrepareRush { ballast_bytes } => self.prepare_rush(ballast_bytes),
            Order::Displace => self.rush()?.displace().map(|()| Answer::Displaced),
            Order::Rush { threads } => {
                let (plan, _) = self.connected()?;
                self.rush()?.go(plan, threads).map(Answer::Rushed)
            }
            Order::Thrash { bytes, millis } => {
                let ((plan, client), time) = (self.connected()?, Duration::from_millis(millis));
                thrash::run(client, plan, bytes, time, meter).map(Answer::Thrashed)
            }
            Order::Fill => self.fill(meter),
            Order::Storm(storm) => {
                let (plan, field) = self.filled()?;
                let figures = storm::run(field, plan, &storm, meter)?;
                Ok(Answer::Stormed(Box::new(figures)))
            }
            Order::Verify => {
                let (_, field) = self.filled()?;
                Ok(Answer::Verified(field.verify(meter)?))
            }
        }
    }

    fn connect(&mut self, plan: Plan) -> Result<Answer> {
        let client =
            Client::builder().name(&format!("bench-{}", plan.client)).connect(&plan.socket)?;
        self.connected = Some((plan, client));
        Ok(Answer::Connected)
    }

    fn prepare_rush(&mut self, ballast_bytes: u64) -> Result<Answer> {
        let (plan, client) = self.connected()?;
        let rush = Rush::new(client, plan, ballast_bytes)?;
        let page_bytes = rush.page_bytes();
        self.rush = Some(rush);
        Ok(Answer::RushPrepared { page_bytes })
    }

    fn fill(&mut self, meter: &Meter) -> Result<Answer> {
        // Its ballast is in nobody's way from here on.
        self.rush = None;
        let (plan, client) = self.connected()?;
        let mut field = Box::new(Field::allocate(client, plan)?);
        field.fill(meter)?;
        let page_bytes = field.page_bytes();
        self.field = Some(field);
        Ok(Answer::Filled { page_bytes })
    }

    fn connected(&self) -> Result<(&Plan, &Client)> {
        let (plan, client) = self.connected.as_ref().context("`Connect` comes first")?;
        Ok((plan, client))
    }

    fn rush(&self) -> Result<&Rush> {
        self.rush.as_ref().context("this order comes after `PrepareRush`")
    }

    fn filled(&mut self) -> Result<(&Plan, &mut Field)> {
        let (plan, _) = self.connected.as_ref().context("`Connect` comes first")?;
        let field = self.field.as_deref_mut().context("this order comes after `Fill`")?;
        Ok((plan, field))
    }
}
