//! Moves money between accounts, or says why not: errors with codes, and one that is worth a retry.

use std::collections::BTreeMap;

use bulkhead::{Context, FunctionError};
use schemars::JsonSchema;
use serde::Serialize;

/// The accounts after a transfer.
#[derive(Serialize, JsonSchema)]
pub struct Receipt {
    /// Balances in cents, by account.
    balances: BTreeMap<String, u64>,
    /// Which attempt went through.
    attempt: u32,
}

/// Why no money moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Nobody has an account of that name.
    #[error("there is no account `{name}`")]
    UnknownAccount {
        /// The name.
        name: String,
    },
    /// The source holds less than the amount.
    #[error("the account holds {balance} cents, which is less than {amount}")]
    InsufficientFunds {
        /// What it holds, in cents.
        balance: u64,
        /// What was asked for, in cents.
        amount: u64,
    },
    /// The target cannot hold that much.
    #[error("the balance would be too large")]
    TooRich,
    /// Trying again later helps.
    #[error("the bank is closed until attempt {opens_at_attempt}")]
    Closed {
        /// When.
        opens_at_attempt: u32,
    },
}

impl FunctionError for TransferError {
    fn code(&self) -> &str {
        match self {
            Self::UnknownAccount { .. } => "unknown_account",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::TooRich => "too_rich",
            Self::Closed { .. } => "closed",
        }
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// Moves `amount` cents between two of the accounts in `balances`.
///
/// `opens_at_attempt` keeps the bank closed for the attempts before it, which is what a retry policy is for.
///
/// ```json
/// {"balances": {"ada": 500, "bob": 20}, "from": "ada", "to": "bob", "amount": 80}
/// ```
///
/// # Errors
///
/// `unknown_account`, `insufficient_funds`, `too_rich`, and the retryable `closed`.
#[bulkhead::function]
pub fn transfer(
    context: &Context,
    mut balances: BTreeMap<String, u64>,
    from: String,
    to: String,
    amount: u64,
    opens_at_attempt: Option<u32>,
) -> Result<Receipt, TransferError> {
    let attempt = context.attempt();
    if let Some(opens_at_attempt) = opens_at_attempt.filter(|&opens_at| attempt < opens_at) {
        return Err(TransferError::Closed { opens_at_attempt });
    }
    let source = balance(&mut balances, &from)?;
    *source = source.checked_sub(amount).ok_or(TransferError::InsufficientFunds { balance: *source, amount })?;
    let target = balance(&mut balances, &to)?;
    *target = target.checked_add(amount).ok_or(TransferError::TooRich)?;
    context.info(format!("moved {amount} cents"));
    Ok(Receipt { balances, attempt })
}

fn balance<'b>(balances: &'b mut BTreeMap<String, u64>, name: &str) -> Result<&'b mut u64, TransferError> {
    balances.get_mut(name).ok_or_else(|| TransferError::UnknownAccount { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use bulkhead::{
        json,
        testing::{Call, Outcome},
    };

    fn transfer(from: &str, to: &str, amount: u64) -> Call {
        Call::new("transfer").args(json!({
            "balances": {"ada": 500, "bob": u64::MAX - 100, "eve": 0},
            "from": from, "to": to, "amount": amount, "opens_at_attempt": 2,
        }))
    }

    #[test]
    fn money_moves() {
        let outcome = transfer("ada", "eve", 80).attempt(2).run();
        let balances = json!({"ada": 420, "bob": u64::MAX - 100, "eve": 80});
        assert_eq!(outcome, Outcome::Succeeded(json!({"balances": balances, "attempt": 2})));
    }

    #[test]
    fn errors_have_codes_and_one_is_worth_a_retry() {
        let code = |call: Call| call.attempt(2).run().expect_error_code();
        assert_eq!(code(transfer("ada", "mallory", 1)), "unknown_account");
        assert_eq!(code(transfer("eve", "ada", 1)), "insufficient_funds");
        assert_eq!(code(transfer("ada", "bob", 101)), "too_rich");
        assert!(matches!(
            transfer("ada", "eve", 1).run(),
            Outcome::FunctionError { code, retryable: true, .. } if code == "closed"
        ));
    }
}
