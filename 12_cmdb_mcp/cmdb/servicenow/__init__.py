"""ServiceNow's CMDB beside ours: reading it, bringing CIs in, and telling it of ours."""
