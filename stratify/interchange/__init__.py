"""Trial and portal formats, in and out: ADaM, cBioPortal."""
