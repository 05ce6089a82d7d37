//! Pages of H2…: definitions, files, configuration.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
    entry(
        "H2001",
        "the definition is invalid",
        "The file was read and something in it is wrong; every place is shown with a code of its own. Check it \
         without a cluster: hortator workflow validate FILE.",
    ),
    entry(
        "H2002",
        "the configuration is invalid",
        "A configuration file or variable has an unknown key or a value of the wrong type. See what comes from where: \
         hortator config show --origin.",
    ),
    entry(
        "H2003",
        "the file cannot be read or written",
        "The operating system refused; the message has its reason.",
    ),
    entry(
        "H2004",
        "the trace cannot be imported",
        "The file is not a WfFormat 1.5 trace, or what it describes is no valid workflow.",
    ),
    entry(
        "H2005",
        "the fault plan cannot be used",
        "It is neither one of those that come with the program (hortator sim list) nor a file that holds one.",
    ),
    entry(
        "H2201",
        "no such workflow",
        "No workflow of that name is applied in that namespace. See: hortator workflow list --all-namespaces.",
    ),
    entry(
        "H2202",
        "no such version",
        "The workflow has no version of that number; versions count from 1 and the newest is shown by hortator \
         workflow show NAME.",
    ),
    entry(
        "H2203",
        "no such schedule",
        "The workflow, or its newest version, has no schedule of that name. A schedule is named WORKFLOW/SCHEDULE; all of \
         them: hortator schedule list.",
    ),
    entry(
        "H2301",
        "the version is not the expected one",
        "--if-version named another version than the latest: somebody applied a new one meanwhile. Look at it, then \
         apply again.",
    ),
    entry(
        "H2302",
        "the checked definition cannot be read",
        "A master of another version checked the definition. Upgrade all masters, then apply again.",
    ),
    entry(
        "H2401",
        "the inputs do not fit",
        "The workflow declares its inputs; the message lists every one that is unknown, missing or of another type.",
    ),
];
