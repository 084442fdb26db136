//! The macro behind the table of options: one text makes the structs, their defaults, the reader
//! and the documentation.

/// One option, as the documentation shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// The dotted path of its section; empty for the top level.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What may be given.
    pub kind: String,
    /// Smallest and largest number.
    pub range: Option<(u64, u64)>,
    /// What holds when it is not given, as a TOML literal.
    pub default: String,
}

impl OptionSpec {
    /// Section and name, joined by a dot.
    #[must_use]
    pub fn key(&self) -> String {
        key(self.section, self.name)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn env(&self) -> String {
        env_name(&self.key())
    }

    /// Kind and range in words.
    #[must_use]
    pub fn values(&self) -> String {
        match self.range {
            Some((min, max)) => format!("{}, {min} to {max}", self.kind),
            None => self.kind.clone(),
        }
    }
}

/// One section, as the documentation shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionSpec {
    /// Its dotted path; empty for the top level.
    pub path: &'static str,
    /// What it is about.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionSpec>,
}

pub(crate) fn key(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

pub(crate) fn env_name(key: &str) -> String {
    format!("ZAQAR__{}", key.to_ascii_uppercase().replace('.', "__"))
}

macro_rules! option_table {
    ($(
        $(#[doc = $sdoc:literal])+
        $Section:ident $field:ident $path:literal {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $ty:ty = $default:expr $(, $min:literal to $max:literal)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $sdoc])+
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Section {
                $( $(#[doc = $doc])+ pub $name: $ty, )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $( $name: <$ty>::from($default), )+ }
                }
            }
        )+

        /// The whole configuration.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config {
            $( $(#[doc = $sdoc])+ pub $field: $Section, )+
            /// What each stage is told, by the stage's name.
            pub stage_options: BTreeMap<String, StageOptions>,
            /// The limits that some projects have of their own, by the project's id.
            pub project_limits: BTreeMap<String, ProjectLimits>,
        }

        impl Config {
            /// Every section with every option: what help, sample and documentation are made of.
            #[must_use]
            pub fn sections() -> Vec<SectionSpec> {
                let defaults = Self::default();
                vec![ $( SectionSpec {
                    path: $path,
                    doc: concat!($($sdoc, "\n"),+),
                    options: vec![ $( OptionSpec {
                        section: $path,
                        name: stringify!($name),
                        doc: concat!($($doc, "\n"),+),
                        kind: <$ty as OptionValue>::kind(),
                        range: option_table!(@range $($min $max)?),
                        default: defaults.$field.$name.shown(),
                    }, )+ ],
                }, )+ ]
            }

            /// Every option's key with its present value as a TOML literal, without passwords.
            #[must_use]
            pub fn shown(&self) -> Vec<(String, String)> {
                vec![ $( $( (key($path, stringify!($name)), self.$field.$name.shown()), )+ )+ ]
            }

            pub(crate) fn read(reader: &mut Reader) -> Self {
                let defaults = Self::default();
                Self { $( $field: $Section { $( $name: reader.take(
                    $path,
                    stringify!($name),
                    option_table!(@range $($min $max)?),
                    defaults.$field.$name,
                ), )+ }, )+
                stage_options: reader.stage_options(),
                project_limits: reader.project_limits() }
            }
        }
    };
    (@range) => { None };
    (@range $min:literal $max:literal) => { Some(($min, $max)) };
}
pub(crate) use option_table;
