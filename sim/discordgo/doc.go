// Package discordgo holds the simulator to bwmarrin/discordgo, a client of API v9 that nobody here wrote. It is a
// module of its own, so that the client stays out of the product's go.mod.
package discordgo
