//! `CREATE TABLE … LIKE`: one definition from two, by Flink's rules.
//!
//! | feature | by default |
//! |---|---|
//! | `OPTIONS` | overwriting |
//! | `CONSTRAINTS`, `GENERATED`, `METADATA`, `PARTITIONS`, `WATERMARKS` | including |
//!
//! Physical columns of the source always come along, in front of the new ones.

use headwater_change::{Error, Result};

use crate::parse::{ColumnDef, ColumnKind, CreateTable, Feature, Like, Merging};

/// `own`, with what it takes from `source`.
pub(super) fn merge(source: &CreateTable, own: CreateTable, like: &Like) -> Result<CreateTable> {
    let merging = |feature: Feature| {
        let asked = like.features.iter().find(|(known, _)| *known == feature).map(|(_, merging)| *merging);
        asked.or(like.all).unwrap_or(match feature {
            Feature::Options => Merging::Overwriting,
            _ => Merging::Including,
        })
    };
    Ok(CreateTable {
        columns: columns(&source.columns, own.columns, merging)?,
        watermark: one(
            (source.watermark.as_ref(), own.watermark),
            merging(Feature::Watermarks),
            ("a watermark", "OVERWRITING WATERMARKS or EXCLUDING WATERMARKS"),
        )?,
        primary_key: list(
            (&source.primary_key, own.primary_key),
            merging(Feature::Constraints),
            ("a primary key", "EXCLUDING CONSTRAINTS"),
        )?,
        partitioned_by: list(
            (&source.partitioned_by, own.partitioned_by),
            merging(Feature::Partitions),
            ("partition columns", "EXCLUDING PARTITIONS"),
        )?,
        options: options(&source.options, own.options, merging(Feature::Options))?,
        ..own
    })
}

fn both(what: &str, way_out: &str) -> Error {
    Error::usage("sql.like", format!("both tables have {what}")).hint(format!("write LIKE … ({way_out})"))
}

fn columns(source: &[ColumnDef], own: Vec<ColumnDef>, merging: impl Fn(Feature) -> Merging) -> Result<Vec<ColumnDef>> {
    let feature_of = |column: &ColumnDef| match column.kind {
        ColumnKind::Physical { .. } => None,
        ColumnKind::Metadata { .. } => Some((Feature::Metadata, "METADATA")),
        ColumnKind::Computed(_) => Some((Feature::Generated, "GENERATED")),
    };
    let taken =
        |column: &&ColumnDef| feature_of(column).is_none_or(|(feature, _)| merging(feature) != Merging::Excluding);
    let mut merged: Vec<ColumnDef> = source.iter().filter(taken).cloned().collect();
    let inherited = merged.len();
    for column in own {
        let Some(at) = merged.iter().take(inherited).position(|known| known.name == column.name) else {
            merged.push(column);
            continue;
        };
        let what = format!("a column '{}'", column.name);
        match (feature_of(&merged[at]), feature_of(&column)) {
            (Some((old, _)), Some((new, _))) if old == new && merging(new) == Merging::Overwriting => {
                merged[at] = column;
            }
            (Some((old, name)), Some((new, _))) if old == new => {
                return Err(both(&what, &format!("OVERWRITING {name} or EXCLUDING {name}")));
            }
            _ => {
                return Err(Error::usage("sql.like", format!("both tables have {what}"))
                    .hint("physical columns always come along; give the new one another name"));
            }
        }
    }
    Ok(merged)
}

fn one<T: Clone>((source, own): (Option<&T>, Option<T>), merging: Merging, names: (&str, &str)) -> Result<Option<T>> {
    match (source.filter(|_| merging != Merging::Excluding), own) {
        (Some(_), Some(_)) if merging == Merging::Including => Err(both(names.0, names.1)),
        (source, own) => Ok(own.or_else(|| source.cloned())),
    }
}

fn list((source, own): (&[String], Vec<String>), merging: Merging, names: (&str, &str)) -> Result<Vec<String>> {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let source = some(source.to_vec());
    one((source.as_ref(), some(own)), merging, names).map(Option::unwrap_or_default)
}

fn options(source: &[(String, String)], own: Vec<(String, String)>, merging: Merging) -> Result<Vec<(String, String)>> {
    let mut merged = if merging == Merging::Excluding { Vec::new() } else { source.to_vec() };
    let inherited = merged.len();
    for (name, value) in own {
        match merged.iter().take(inherited).position(|(known, _)| *known == name) {
            Some(_) if merging == Merging::Including => {
                return Err(both(&format!("the option '{name}'"), "OVERWRITING OPTIONS or EXCLUDING OPTIONS"));
            }
            Some(at) => merged[at].1 = value,
            None => merged.push((name, value)),
        }
    }
    Ok(merged)
}
