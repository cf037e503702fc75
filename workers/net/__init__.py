"""HTTP as it is spoken to both of our neighbours, VTEX and an ERP."""
