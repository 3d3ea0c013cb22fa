//! The methods of [`Repository`]: each is one transaction.

use std::time::Duration;

use async_trait::async_trait;
use streamgate::stream::EntryId;

use super::backend::{Backend, Tx, values};
use super::{
    Completed, EventFilter, EventRow, GivenUp, MessageId, Page, Repository, Stats, StoreError, Updated,
    Verdict, audit, effects, outbox, readers, tasks, users,
};
use crate::auth::Account;
use crate::model::{Arrival, Completion, NewEvent, Task, User, UserPatch};

/// The repository on top of one of the databases.
pub(super) struct Sql<B>(pub(super) B);

#[async_trait]
impl<B: Backend> Repository for Sql<B> {
    async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        tx.row("SELECT 1", values![]).await?;
        tx.commit().await
    }

    async fn create_user(&self, user: &User) -> Result<MessageId, StoreError> {
        let (mut tx, event) = (self.0.write().await?, NewEvent::user_created(user));
        users::insert(&mut tx, user).await?;
        outbox::put(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(event.id)
    }

    async fn users(&self, after: Option<&str>, limit: i64) -> Result<Vec<User>, StoreError> {
        users::page(&mut self.0.read().await?, after, limit).await
    }

    async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        users::get(&mut self.0.read().await?, id).await
    }

    async fn update_user(&self, id: &str, patch: &UserPatch) -> Result<Option<Updated>, StoreError> {
        let mut tx = self.0.write().await?;
        let Some(mut user) = users::lock(&mut tx, id).await? else { return Ok(None) };
        let changes = user.apply(patch);
        if changes.is_empty() {
            return Ok(Some(Updated { user, changes, message_id: None }));
        }
        let event = NewEvent::user_updated(&user, &changes);
        users::update(&mut tx, &user).await?;
        outbox::put(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(Some(Updated { user, changes, message_id: Some(event.id) }))
    }

    async fn delete_user(&self, id: &str) -> Result<Option<MessageId>, StoreError> {
        let mut tx = self.0.write().await?;
        let Some(user) = users::lock(&mut tx, id).await? else { return Ok(None) };
        let event = NewEvent::user_deleted(id, &user.username);
        users::delete(&mut tx, id).await?;
        outbox::put(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(Some(event.id))
    }

    async fn create_task(&self, task: &Task) -> Result<MessageId, StoreError> {
        let (mut tx, event) = (self.0.write().await?, NewEvent::task_created(task));
        tasks::insert(&mut tx, task).await?;
        outbox::put(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(event.id)
    }

    async fn complete_task(&self, id: &str, done: &Completion) -> Result<Completed, StoreError> {
        let (mut tx, event) = (self.0.write().await?, NewEvent::task_completed(id, done));
        let completed = tasks::complete(&mut tx, id, done, &event.id).await?;
        if matches!(completed, Completed::Done(..)) {
            outbox::put(&mut tx, &event).await?;
            tx.commit().await?;
        }
        Ok(completed)
    }

    async fn publish(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        outbox::remember_streams(&mut tx, events).await?;
        for event in events {
            outbox::put(&mut tx, event).await?;
        }
        tx.commit().await
    }

    async fn custom_streams(&self) -> Result<Vec<String>, StoreError> {
        outbox::custom_streams(&mut self.0.read().await?).await
    }

    async fn events(&self, filter: &EventFilter, page: Page) -> Result<(Vec<EventRow>, i64), StoreError> {
        audit::page(&mut self.0.read().await?, filter, page).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        audit::stats(&mut self.0.read().await?).await
    }

    async fn hold_relay_lease(&self, holder: &str, length: Duration) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let held = tx.run(B::HOLD_LEASE, values![holder, length.as_millis() as i64]).await? > 0;
        tx.commit().await?;
        Ok(held)
    }

    async fn streams_to_relay(&self) -> Result<Vec<String>, StoreError> {
        outbox::streams(&mut self.0.read().await?).await
    }

    async fn to_relay(&self, stream: &str, limit: i64) -> Result<Vec<NewEvent>, StoreError> {
        outbox::oldest(&mut self.0.read().await?, stream, limit).await
    }

    async fn relayed(&self, stream: &str, places: &[(String, EntryId)]) -> Result<(), StoreError> {
        let Some((_, last)) = places.last() else { return Ok(()) };
        let mut tx = self.0.write().await?;
        // In the order in which consumers lock the rows of events.
        let mut by_id: Vec<_> = places.iter().collect();
        by_id.sort_by_key(|(id, _)| id);
        for (id, entry) in by_id {
            outbox::take_out(&mut tx, id, *entry).await?;
        }
        outbox::raise_floor(&mut tx, stream, *last).await?;
        tx.commit().await
    }

    async fn relay_floor(&self, stream: &str) -> Result<EntryId, StoreError> {
        outbox::floor(&mut self.0.read().await?, stream).await
    }

    async fn forget_arrived(&self, stream: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        outbox::forget_arrived(&mut tx, stream).await?;
        tx.commit().await
    }

    async fn outbox_len(&self) -> Result<i64, StoreError> {
        outbox::len(&mut self.0.read().await?).await
    }

    async fn apply(&self, consumer: &str, arrivals: &[Arrival]) -> Result<Vec<Verdict>, StoreError> {
        let mut tx = self.0.write().await?;
        let verdicts = effects::apply(&mut tx, consumer, arrivals).await?;
        tx.commit().await?;
        Ok(verdicts)
    }

    async fn dead_lettered(&self, reader: &str, letter: &GivenUp) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        effects::note_failure(&mut tx, &letter.consumer, &letter.arrival, &letter.reason).await?;
        effects::give_up(&mut tx, &letter.arrival, letter.letter.ms as i64).await?;
        readers::place(&mut tx, reader, &letter.letters, letter.letter).await?;
        tx.commit().await
    }

    async fn checkpoints(&self, reader: &str) -> Result<Vec<(String, EntryId)>, StoreError> {
        readers::checkpoints(&mut self.0.read().await?, reader).await
    }

    async fn tally(
        &self,
        reader: &str,
        stream: &str,
        from: Option<EntryId>,
        seen: &[(EntryId, String)],
    ) -> Result<bool, StoreError> {
        let Some((last, _)) = seen.last() else { return Ok(true) };
        let mut tx = self.0.write().await?;
        if !readers::advance(&mut tx, reader, stream, from, *last).await? {
            return Ok(false);
        }
        readers::count(&mut tx, reader, stream, seen).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn account(&self, username: &str) -> Result<Option<Account>, StoreError> {
        users::account(&mut self.0.read().await?, username).await
    }

    async fn put_account(&self, account: &Account) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        users::put_account(&mut tx, account).await?;
        tx.commit().await
    }
}
