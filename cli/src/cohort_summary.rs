//! `segvol cohort summary`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use segvol::ReadOptions;
use segvol_base::printable_json;
use segvol_cohort::review::strangest;
use segvol_cohort::{Record, Scan, Summary, read_options, scans};
use segvol_report::{CohortPage, CohortPicture, is_page_name};

use crate::cohort_ids::IdKind;
use crate::cohort_tables::{TableArguments, limits, picture};
use crate::exit::Usage;
use crate::outputs::Files;
use crate::picture::ViewArguments;

/// Print what a cohort's masks are: volumes of each object, outliers, failures, warnings
#[derive(clap::Args)]
pub(crate) struct CohortSummary {
    /// The output folder of `segvol cohort`
    #[arg(value_name = "DIR")]
    out: PathBuf,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tables: TableArguments,
    /// JSON file with the smallest and largest volume that is expected of an object, in mL: {"liver": [500, 3000]}. Without it, and beside
    /// it, a volume is an outlier if it is unlike the others
    #[arg(long, value_name = "FILE", help_heading = "Outliers")]
    limits: Option<PathBuf>,
    /// One HTML page with tables, plots and pictures of the strangest scans
    #[arg(long, value_name = "FILE", help_heading = "Page")]
    html: Option<PathBuf>,
    /// Pictures on the page at most
    #[arg(long, value_name = "K", default_value_t = 12, requires = "html", help_heading = "Page")]
    pictures: usize,
    /// Where the scans are, as for `cohort`, for the pictures: the manifest does not say, unless --record-paths was given
    #[arg(long, value_name = "DIR|LIST|PATTERN", requires = "html", help_heading = "Page")]
    images: Option<PathBuf>,
    /// What the ids of these scans are
    #[arg(long, value_enum, default_value_t = IdKind::Name, requires = "images", help_heading = "Page")]
    ids: IdKind,
    #[command(flatten)]
    view: ViewArguments,
}

impl CohortSummary {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(path) = self.html.as_ref().filter(|path| !is_page_name(path)) {
            return Err(Usage(format!("--html `{}`: expected a name that ends in .html", path.display())).into());
        }
        self.tables.check()?;
        let mut files = Files::default();
        files.input("the manifest", &self.out.join("manifest.jsonl"));
        files.input_if("--limits", self.limits.as_ref());
        self.tables.add_to(&mut files);
        files.output_if("--html", self.html.as_ref());
        for warning in files.check()? {
            crate::warnings::say("", &warning);
        }
        let (settings, records) = segvol_cohort::read(&self.out)?;
        let limits = limits(self.limits.as_ref(), &records)?;
        let summary = Summary::new(&records, &limits);
        if self.json {
            out.write_all(printable_json(&summary.to_json()?).as_bytes())?;
        } else {
            out.write_all(summary.to_text().as_bytes())?;
        }
        self.tables.save(&records)?;
        let Some(path) = &self.html else { return Ok(()) };
        let scans = self.scans()?;
        let read = read_options(&settings);
        let picks = strangest(&records, &limits, self.pictures);
        let picks = picks.into_iter().filter(|pick| !pick.caption().is_empty());
        let pictures: Vec<CohortPicture> = picks
            .map(|pick| CohortPicture {
                id: pick.record.id.clone(),
                caption: pick.caption(),
                picture: self.drawn(&pick, &scans, &read),
            })
            .collect();
        let page = CohortPage { settings: &settings, summary: &summary, pictures: &pictures, notes: &[] };
        page.save(path).with_context(|| format!("page `{}`", path.display()))
    }

    /// The scans by their ids, if it is said where they are.
    fn scans(&self) -> anyhow::Result<BTreeMap<String, Scan>> {
        let Some(images) = &self.images else { return Ok(BTreeMap::new()) };
        let found = scans(images, &self.out, self.ids.into())?;
        Ok(found.into_iter().map(|scan| (scan.id.clone(), scan)).collect())
    }

    /// `read` says how the run read its scans.
    fn drawn(
        &self,
        pick: &segvol_cohort::review::Pick<'_>,
        scans: &BTreeMap<String, Scan>,
        read: &ReadOptions,
    ) -> Result<Vec<u8>, String> {
        let record: &Record = pick.record;
        let scan = scans.get(&record.id);
        let path = scan.map(|scan| scan.path.clone()).or_else(|| record.path.as_ref().map(PathBuf::from));
        let path = path.ok_or("where the scan is was not recorded; --images says it")?;
        let own = scan.and_then(|scan| scan.own.series.clone());
        let read = read.clone().series(own.or_else(|| read.series.clone()));
        let picture = picture(&self.out, pick, &path, &read, self.view.view()).map_err(|error| error.to_string())?;
        picture.to_png().map_err(|error| error.to_string())
    }
}
