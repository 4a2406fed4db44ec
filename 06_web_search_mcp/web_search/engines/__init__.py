"""The engines that there are: those of ddgs, SearXNG by its address, Brave and Tavily by key."""
