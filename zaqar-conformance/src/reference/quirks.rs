//! Planted bugs: what the suite is shown to see that it catches it.

/// Makes the enumeration, its documentation and its summaries of one list.
macro_rules! quirks {
    ($($quirk:ident = $summary:literal,)*) => {
        /// One planted bug of the reference driver.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Quirk {
            $(#[doc = $summary] $quirk,)*
        }

        impl Quirk {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$quirk,)*];

            /// What is wrong, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self {
                    $(Self::$quirk => $summary,)*
                }
            }
        }
    };
}

quirks! {
    ExpireEarly = "Messages end two seconds before their time.",
    IgnoreExpiryOnPop = "Pop returns expired messages too.",
    DoubleClaim = "A claim takes what another live claim holds.",
    LoseOnClaimLapse = "A message is gone once a claim on it has lapsed.",
    ForgetClaimCountOnUpdate = "Renewing a claim sets its messages' claim counts back to 0.",
    ResurrectDeleted = "What was deleted under a claim comes back with the next sweep or release.",
    MarkerBeforeVisible = "A post takes its positions in one step and shows the messages in a later one.",
    DlqDeleteBeforeInsert = "A dead letter leaves its source before it has arrived.",
    DropOneInNPosts = "Every tenth message is acknowledged and not stored.",
    WrongEffectOnError = "Every tenth post is stored and answered with an error that says that nothing was.",
    ClaimsUnsupportedSuccess = "Claims are not declared, and work nevertheless.",
    RestoreAfterClose = "A queue that is made again shows the messages of its predecessor.",
    CrossTenantRead = "A tenant that knows another one's ids reads its messages.",
    BatchNotAtomic = "A batch is posted, and deleted, in two steps.",
    StaleClaimDeletes = "A delete that names a claim which is over removes the message.",
    LoseOutboxEntry = "Every tenth message gets no outbox entry.",
    NotifyBeforeCommit = "A post writes its outbox entry in one step and its messages in a later one.",
    DoubleLease = "Subscriptions are leased that another live lease holds.",
    CompleteWithoutLease = "A delivery is completed whoever holds its lease.",
    CountRetryTwice = "A retry that is told twice under one lease counts two attempts.",
    ExhaustUnrecorded = "A delivery that is given up leaves no record.",
    SkipUnmentioned = "A completion moves the cursor past messages that it does not mention.",
    ForgetRetries = "A failed delivery is not tried again.",
    ServeStaleRoutes = "A moved head serves callers that do not know of the move.",
    TouchFrozen = "What is on its way to another store can be claimed and deleted.",
    RevealEarly = "What arrives from another store can be had before the source has removed it.",
    InsertPartTwice = "A part that was consumed is stored again when it is inserted again.",
    ForgetHoldsOnMove = "The claims on moved messages are forgotten on the way.",
    ReopenLeftHeads = "A queue that is deleted may still come back to a store that it had left.",
    ForgetOriginsOnMove = "Where dead letters came from is forgotten on the way to another store.",
    ForgetLastClaims = "The last claim of a message is forgotten when it ends.",
    FilterAfterLimit = "A page holds the first messages behind its marker, less those that it should not show.",
    RestartAtDeletedMarker = "A listing that comes with the marker of a message which is gone begins anew.",
    EndWithShortPage = "A page that is not full has no marker, whatever comes behind it.",
    TakeAllAfterFirstFree = "A claim takes everything behind the first free message, held and delayed ones too.",
    ReleaseClearsNewerLease = "Releasing a claim that is over frees what a newer one holds.",
    ProlongNothing = "A message under a claim ends when it would have without it.",
    CollectByFirstEnd = "Collection removes what was to end by now when it was posted, whatever claims prolonged.",
    WrapLongLives = "The seconds of a life are kept in 16 bits.",
    ChokeOnManyExpired = "A claim fails if more than 8,000 expired messages lie before what it may take.",
    SwallowPostsToClosed = "A post to a queue that was deleted is acknowledged, and nothing is stored.",
    RepeatPosts = "Every tenth post is sent again by itself, and stored twice.",
    AgeDeadLetters = "The life of a dead letter counts from its post, not from its arrival.",
    FirstSubscribersOnly = "Only the first ten subscribers of a queue are ever served.",
    CrossAnswers = "Two posts that are under way at once are answered with each other's ids.",
    ClaimsOfAnyQueue = "A claim is renewed and released through whichever queue its id is told to.",
    AcceptEmptyPosts = "A post of no messages, or of too many, is accepted.",
}

/// The planted bug of a store, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quirks(pub(super) Option<Quirk>);

impl Quirks {
    pub(super) fn has(self, quirk: Quirk) -> bool {
        self.0 == Some(quirk)
    }
}
