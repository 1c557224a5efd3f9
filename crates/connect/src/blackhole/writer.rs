//! Writes nowhere.

use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Owner, Receipt, Result, SchemaChange, Sink, SinkDescription,
    TableRequest, Writer,
};

/// Builds the sink.
pub fn sink(_request: TableRequest) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Blackhole))
}

struct Blackhole;

impl Sink for Blackhole {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Retract, delivery: Delivery::AtLeastOnce, each_change: false }
    }

    fn open(&self, _owner: &Owner, _committed: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Self))
    }
}

impl Writer for Blackhole {
    fn write(&mut self, _batch: &ChangeBatch) -> Result<()> {
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        Ok(())
    }

    fn schema(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }
}
