"""What a KPI is: the shipped ones, and those of a tenant."""
