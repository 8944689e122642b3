//! One client process of a run: connects, and carries out one order after the other.

mod field;
mod hit;
mod storm;
mod sweep;

use anyhow::{Context, Result};
use bo_client::Client;

use crate::orders::{Answer, Order, Plan};
use crate::station::{self, Meter};
use crate::worker::field::Field;

/// Serves orders until there are no more.
///
/// # Errors
///
/// What an order failed with; the parent was told.
pub(crate) fn serve() -> Result<()> {
    let mut stage = Stage::Started;
    station::serve(|order, meter| stage.act(order, meter))
}

/// How far this worker has come.
enum Stage {
    Started,
    Connected { plan: Plan, client: Client },
    Filled { plan: Plan, field: Box<Field> },
}

impl Stage {
    fn act(&mut self, order: Order, meter: &Meter) -> Result<Answer> {
        match order {
            Order::Connect(plan) => self.connect(plan),
            Order::Hit { rounds } => {
                let (plan, client) = self.connected()?;
                hit::measure(client, plan, rounds).map(Answer::Hit)
            }
            Order::Sweep { bytes } => {
                let (plan, client) = self.connected()?;
                let figures = sweep::run(client, plan, bytes, meter)?;
                Ok(Answer::Swept(figures))
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
        *self = Stage::Connected { plan, client };
        Ok(Answer::Connected)
    }

    fn fill(&mut self, meter: &Meter) -> Result<Answer> {
        let (plan, client) = self.connected()?;
        let (plan, mut field) = (plan.clone(), Box::new(Field::allocate(client, plan)?));
        field.fill(meter)?;
        let page_bytes = field.page_bytes();
        *self = Stage::Filled { plan, field };
        Ok(Answer::Filled { page_bytes })
    }

    fn connected(&self) -> Result<(&Plan, &Client)> {
        match self {
            Stage::Connected { plan, client } => Some((plan, client)),
            Stage::Started | Stage::Filled { .. } => None,
        }
        .context("this order comes after `Connect` and before `Fill`")
    }

    fn filled(&mut self) -> Result<(&Plan, &mut Field)> {
        match self {
            Stage::Filled { plan, field } => Some((&*plan, &mut **field)),
            Stage::Started | Stage::Connected { .. } => None,
        }
        .context("this order comes after `Fill`")
    }
}
